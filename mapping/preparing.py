"""What is done to a network before it is placed: a copy with plain weights, as layers that arrays can compute."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.weight_norm import WeightNorm

from hwmodels.errors import UserError
from mapping.lowering import why_not_mappable
from mapping.rewriting import rewritten


def prepare(network: nn.Module, *, lend: bool = False) -> nn.Module:
    """A copy of a network in evaluation mode as `place` maps it; the network given is left as it is.

    Pruning (torch.nn.utils.prune), parametrisations and weight norms are applied, so that weights are plain parameters;
    recurrent layers and nn.MultiheadAttention become linear layers and digital operations that compute the same
    (`mapping.rewriting`); a layer whose weight is also another module's (an embedding's) gets a copy of its own, since
    a look-up needs the exact table and stays digital. A prepared network is prepared already.
    lend: do not copy the weights of layers that arrays can take, for a network whose weights nobody changes in place; a
    large network then stands in memory once.
    Raises UserError for TorchScript and for layers whose weights do not exist yet.
    """
    if isinstance(network, torch.jit.ScriptModule):
        raise UserError("The network is TorchScript, which cannot be looked into; pass the nn.Module it was made from.")
    for name, module in network.named_modules():
        if any(isinstance(p, nn.parameter.UninitializedParameter) for p in module.parameters(recurse=False)):
            raise UserError(f"Layer {name!r} is not initialised yet; run one batch through the network first.")
    # Pruning and weight norm leave a computed tensor behind, which does not copy by itself.
    computed = {
        id(value): value.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    lent = {
        id(weight): weight for weight in map(_plain_weight, network.modules() if lend else ()) if weight is not None
    }
    network = copy.deepcopy(network, computed | lent).eval()
    for module in network.modules():
        _bake(module)
    network = rewritten(network)
    _untie(network)
    return network


def _plain_weight(module: nn.Module) -> Tensor | None:
    """The weight of a layer that arrays can take, where it is a parameter of its own."""
    if why_not_mappable(module) is not None or parametrize.is_parametrized(module):
        return None
    return module._parameters.get("weight")


def _bake(module: nn.Module) -> None:
    """Apply what torch computes a module's weights by."""
    if parametrize.is_parametrized(module):
        # torch takes the computed weight off the class, which the module that this one was copied from shares.
        kind = type(module)
        own = {key: value for key, value in vars(kind).items() if key not in ("__dict__", "__weakref__")}
        module.__class__ = type(kind.__name__, kind.__bases__, own)  # type: ignore[assignment]
        for name in list(module.parametrizations):  # type: ignore[arg-type]
            parametrize.remove_parametrizations(module, name)
    for key in [key for key, _ in module.named_buffers(recurse=False) if key.endswith("_mask")]:
        name = key.removesuffix("_mask")
        if f"{name}_orig" in module._parameters:
            prune.remove(module, name)
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, WeightNorm):
            torch.nn.utils.remove_weight_norm(module, hook.name)


def ties(network: nn.Module) -> dict[str, str]:
    """Modules that stay digital whose parameter is also the weight of a mappable layer: their name → that layer's."""
    layers = {
        id(module._parameters["weight"]): name
        for name, module in network.named_modules()
        if why_not_mappable(module) is None and module._parameters.get("weight") is not None
    }
    return {
        name: layers[id(parameter)]
        for name, module in network.named_modules()
        if why_not_mappable(module) is not None
        for parameter in module.parameters(recurse=False)
        if id(parameter) in layers
    }


def _untie(network: nn.Module) -> None:
    """Give mappable layers a weight that no digital module holds; layers that share one go on sharing it."""
    tied = set(ties(network).values())
    own: dict[int, nn.Parameter] = {}
    held = {id(network.get_submodule(name)._parameters["weight"]) for name in tied}
    for module in network.modules():
        weight = module._parameters.get("weight")
        if weight is not None and id(weight) in held and why_not_mappable(module) is None:
            module.weight = own.setdefault(id(weight), nn.Parameter(weight.detach().clone()))
