"""Which modules are rewritten, and how they are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from mapping.rewriting.attention import Attention
from mapping.rewriting.recurrent import Cell, Recurrent

REWRITES: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.LSTM: Recurrent,
    nn.GRU: Recurrent,
    nn.RNN: Recurrent,
    nn.LSTMCell: Cell,
    nn.GRUCell: Cell,
    nn.RNNCell: Cell,
    nn.MultiheadAttention: Attention,
}
"""Module type → what takes its place; subclasses with a forward of their own stay as they are."""

LEAVES = (Recurrent, Cell, Attention)
"""What stands in their place; tracing by symbols stops there."""


def digital_rest(module: nn.Module) -> str | None:
    """What a module that took the place of another computes beside its linear layers; None for all others."""
    if isinstance(module, Attention):
        return "attention scores, softmax and the weighted sum of the values"
    return "gates and states of the recurrence" if isinstance(module, Recurrent | Cell) else None


def rewritten(network: nn.Module) -> nn.Module:
    """The network with every recurrent layer and attention replaced by its linear layers, in place.

    The layers are found under the names of the weights that they hold (`lstm.weight_ih_l0`, `attention.q_proj`). The
    network itself is returned, or what takes its place; a second time nothing is left to do.
    """
    made: dict[int, nn.Module] = {}
    for name, module in list(network.named_modules(remove_duplicate=False)):
        make = _rewrite_for(module)
        if make is None:
            continue
        if id(module) not in made:
            made[id(module)] = make(module).train(module.training)
        network = replaced(network, name, made[id(module)])
    return network


def rewritable(network: nn.Module) -> list[str]:
    """Names of the modules that `rewritten` would replace."""
    return [name for name, module in network.named_modules() if _rewrite_for(module) is not None]


def _rewrite_for(module: nn.Module) -> Callable[[Any], nn.Module] | None:
    for kind, make in REWRITES.items():
        if isinstance(module, kind) and type(module).forward is kind.forward:
            return make
    return None


def replaced(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """Put a module in the place of another; the network itself may be that one."""
    if name == "":
        return module
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)
    return model
