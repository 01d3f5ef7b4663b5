"""Recurrent layers with their projections as linear layers; gates and states are digital."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from hwmodels.errors import UserError

State = tuple[Tensor, Tensor | None]
"""Hidden state, and the cell state of an LSTM."""


def linear_of(weight: Any, bias: Any) -> nn.Linear:
    """A linear layer that holds these very parameters."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    made.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight)
    if bias is not None:
        made.bias = bias if isinstance(bias, nn.Parameter) else nn.Parameter(bias)
    return made


def advance(mode: str, projected: Tensor, recurrent: Tensor, state: State) -> State:
    """One time step of the gates of an LSTM, GRU or plain RNN, as torch.nn documents them.

    mode: torch's name ("LSTM", "GRU", "RNN_TANH", "RNN_RELU"); projected, recurrent: (n, gates · hidden) the input's
    and the hidden state's projections with their biases.
    """
    hidden, cell = state
    if mode == "LSTM":
        assert cell is not None
        enter, forget, candidate, leave = (projected + recurrent).chunk(4, dim=-1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
        return torch.sigmoid(leave) * torch.tanh(cell), cell
    if mode == "GRU":
        (reset, update, candidate), (r, u, c) = projected.chunk(3, dim=-1), recurrent.chunk(3, dim=-1)
        update = torch.sigmoid(update + u)
        new = torch.tanh(candidate + torch.sigmoid(reset + r) * c)
        return (1 - update) * new + update * hidden, None
    squash = torch.tanh if mode == "RNN_TANH" else torch.relu
    return squash(projected + recurrent), None


class Cell(nn.Module):
    """nn.LSTMCell, nn.GRUCell or nn.RNNCell with linear layers `weight_ih` and `weight_hh`."""

    def __init__(self, source: nn.RNNCellBase) -> None:
        """Take over the parameters of a cell of torch."""
        super().__init__()
        self.input_size, self.hidden_size = source.input_size, source.hidden_size
        kinds = {nn.LSTMCell: "LSTM", nn.GRUCell: "GRU"}
        plain = f"RNN_{str(getattr(source, 'nonlinearity', '')).upper()}"
        self.mode = next((name for kind, name in kinds.items() if isinstance(source, kind)), plain)
        self.weight_ih = linear_of(source.weight_ih, source.bias_ih)
        self.weight_hh = linear_of(source.weight_hh, source.bias_hh)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """(n, input_size) or (input_size,), state → state, as torch's cell."""
        x = input if input.dim() == 2 else input.unsqueeze(0)
        given = hx if isinstance(hx, tuple) or hx is None else (hx, None)
        hidden, cell = given or (x.new_zeros(len(x), self.hidden_size),) * 2
        if given is not None and input.dim() == 1:
            hidden, cell = hidden.unsqueeze(0), None if cell is None else cell.unsqueeze(0)
        found = advance(self.mode, self.weight_ih(x), self.weight_hh(hidden), (hidden, cell))
        found = found if input.dim() == 2 else tuple(None if each is None else each.squeeze(0) for each in found)
        return found if self.mode == "LSTM" else found[0]


class Recurrent(nn.Module):
    """nn.LSTM, nn.GRU or nn.RNN with a linear layer for every weight, under the weight's own name.

    Layers, directions and an LSTM's projection (proj_size) are as in torch; packed sequences are refused. The input
    projection of a layer drives all time steps at once, the recurrent ones step by step.
    """

    def __init__(self, source: nn.RNNBase) -> None:
        """Take over the parameters of a recurrent layer of torch."""
        super().__init__()
        self.mode, self.num_layers, self.dropout = source.mode, source.num_layers, source.dropout
        self.batch_first, self.bidirectional = source.batch_first, source.bidirectional
        self.input_size, self.hidden_size, self.proj_size = source.input_size, source.hidden_size, source.proj_size
        self.bias = source.bias
        for suffix in self._suffixes():
            for kind in ("ih", "hh", "hr") if source.proj_size else ("ih", "hh"):
                weight = getattr(source, f"weight_{kind}{suffix}")
                bias = getattr(source, f"bias_{kind}{suffix}", None) if source.bias else None
                self.add_module(f"weight_{kind}{suffix}", linear_of(weight, bias))

    def _suffixes(self) -> list[str]:
        ends = ("", "_reverse") if self.bidirectional else ("",)
        return [f"_l{layer}{end}" for layer in range(self.num_layers) for end in ends]

    def flatten_parameters(self) -> None:
        """Nothing to do: there is no fused kernel to prepare for."""

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """(time, n, features), (n, time, features) if batch_first, or (time, features) → outputs and last states."""
        if isinstance(input, PackedSequence):
            raise UserError("Packed sequences are not supported on crossbars; pass padded sequences.")
        unbatched = input.dim() == 2
        x = input.unsqueeze(1) if unbatched else input.transpose(0, 1) if self.batch_first else input
        first = self._start(x, hx, unbatched)
        ends: list[State] = []
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            outputs = []
            for way in range(directions):
                number = layer * directions + way
                y, end = self._direction(x, self._suffixes()[number], first[number], reverse=way == 1)
                outputs.append(y)
                ends.append(end)
            x = torch.cat(outputs, dim=-1) if directions == 2 else outputs[0]
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        hidden = torch.stack([end[0] for end in ends])
        last: Any = hidden.squeeze(1) if unbatched else hidden
        if self.mode == "LSTM":
            cell = torch.stack([cast(Tensor, end[1]) for end in ends])
            last = (last, cell.squeeze(1) if unbatched else cell)
        return x.squeeze(1) if unbatched else x.transpose(0, 1) if self.batch_first else x, last

    def _start(self, x: Tensor, hx: Any, unbatched: bool) -> list[State]:
        count = len(self._suffixes())
        if hx is None:
            hidden = x.new_zeros(count, x.shape[1], self.proj_size or self.hidden_size)
            cell: Tensor | None = x.new_zeros(count, x.shape[1], self.hidden_size)
        else:
            hidden, cell = hx if isinstance(hx, tuple) else (hx, None)
            if unbatched:
                hidden, cell = hidden.unsqueeze(1), None if cell is None else cell.unsqueeze(1)
        return [(hidden[i], None if cell is None else cell[i]) for i in range(count)]

    def _direction(self, x: Tensor, suffix: str, state: State, reverse: bool) -> tuple[Tensor, State]:
        # Unbound at once: the gradient of an index per step would be written into a whole zero tensor each time.
        projected = self.get_submodule(f"weight_ih{suffix}")(x).unbind(0)
        recurrent = self.get_submodule(f"weight_hh{suffix}")
        steps = range(len(x) - 1, -1, -1) if reverse else range(len(x))
        outputs: list[Tensor] = []
        for step in steps:
            hidden, cell = advance(self.mode, projected[step], recurrent(state[0]), state)
            if self.proj_size:
                hidden = self.get_submodule(f"weight_hr{suffix}")(hidden)
            state = (hidden, cell)
            outputs.append(hidden)
        return torch.stack(outputs[::-1] if reverse else outputs), state
