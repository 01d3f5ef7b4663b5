"""Training against the arrays: forward on noisy cells and real converters, gradients back to the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from glob import escape
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossbar import ArraySpec, straight_through, to_matrix
from crossbar.engine import Reader
from hwmodels.errors import UserError
from mapping.chips import strips_of_chip
from mapping.conditions import Conditions
from mapping.converters import strip_converter
from mapping.inputs import Inputs
from mapping.place import place, tile_signs
from mapping.placement import LayerPlacement, Placement
from mapping.placing import Placing
from mapping.rewriting import rewritable
from mapping.strips import PlacedStrip, unit_conductance


class HardwareAware(nn.Module):
    """A network whose convolutions and linear layers compute on arrays while it is trained.

    model: the network; its parameters are this module's, so an optimiser of either trains both. placement: where its
    weights stand (`mapping.place`): tiles, level grids, masks and ranges stay as placed until `calibrate` takes them
    anew, by itself every `calibrate_every` training calls.
    conditions: when and how warm the cells are read, and whether with read noise, which every call draws anew.
    Every call writes the weights as they are now to the cells: nearest level, programming errors, faults, wires; in
    training mode every call is another chip, drawn from (seed, call), in evaluation mode all are the chip `seed`.
    Gradients go straight through rounding (`crossbar.straight_through`): with respect to inputs through the
    conductances as they stand, errors and wires included; with respect to weights as if a weight and its cells changed
    alike. Masked weights get none.
    """

    def __init__(
        self,
        model: nn.Module,
        placement: Placement,
        *,
        seed: int = 0,
        example_input: Inputs | None = None,
        calibrate_every: int | None = None,
        conditions: Conditions | None = None,
    ) -> None:
        """Take over a network and its placement; recalibrate on the example at every so many training calls."""
        super().__init__()
        if any(
            placement.spec_of(layer).adc_bits is not None and layer.calibration.adc_full_scale_s <= 0
            for layer in placement.layers.values()
        ):
            raise UserError("The example inputs drove some layer with zeros only, so its converters have no range.")
        self.model = model
        self.placement = placement
        self.seed = seed
        self.calls = 0
        self.example_input = example_input
        self.calibrate_every = calibrate_every
        self.conditions = conditions or Conditions()

    def calibrate(self, example_input: Inputs) -> None:
        """Take masks, level grids and ranges from the weights as they are now and from these inputs.

        The network is placed anew with the choices that it was placed with (`Placement.placing`), layers on the arrays
        that they had. Lines that were moved around the faults of one chip stand in order again: every call is another
        chip.
        """
        own = {escape(name): layer.array for name, layer in self.placement.layers.items() if layer.array is not None}
        self.placement = place(
            self.model,
            self.placement.array,
            example_input,
            arrays=own,
            free_unused=False,
            **self.placement.placing.options(),
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The network's forward, its placed layers on arrays."""
        chip = self.seed
        if self.training:
            if self.calibrate_every and self.calls and self.calls % self.calibrate_every == 0:
                assert self.example_input is not None
                self.calibrate(self.example_input)
            self.calls += 1
            chip = (self.seed + self.calls * 0x9E3779B97F4A7C15) % 2**64
        with self._on_arrays(chip):
            return self.model(*args, **kwargs)

    @contextmanager
    def _on_arrays(self, chip: int) -> Iterator[None]:
        """Placed layers compute on the chip for the length of the block; their own forward comes back after it."""
        layers = {name: self.model.get_submodule(name) for name in self.placement.layers}
        strips = self._strips(layers, chip)
        try:
            for name, module in layers.items():
                placed = self.placement.layers[name]
                module.forward = partial(compute, module, placed, self.placement.spec_of(placed), strips[name], chip)
            yield
        finally:
            for module in layers.values():
                module.__dict__.pop("forward", None)

    @torch.no_grad()
    def _strips(self, layers: dict[str, nn.Module], chip: int) -> dict[str, list[PlacedStrip]]:
        placed, spec_of = self.placement.layers, self.placement.spec_of
        now = {name: with_weights(placed[name], module, spec_of(placed[name])) for name, module in layers.items()}
        pieces = replace(self.placement, layers=now).pieces()
        found: dict[str, list[PlacedStrip]] = {name: [] for name in layers}
        for name, members in groupby(pieces, key=lambda piece: piece.layer.name):
            where = next(layers[name].parameters()).device
            found[name] = strips_of_chip(now[name], list(members), spec_of(now[name]), chip, self.conditions, where)
        return found


def wrap(
    model: nn.Module,
    array: ArraySpec,
    example_input: Inputs,
    *,
    seed: int = 0,
    calibrate_every: int | None = 20,
    conditions: Conditions | None = None,
    placing: Placing | None = None,
) -> HardwareAware:
    """A network to train against the arrays it will run on: `model` with its layers on `array`.

    example_input: as in `mapping.place`, a few dozen real inputs that set the ranges. seed: of the chips. The model's
    weights stay floats; train the returned module, then place the model. calibrate_every: training calls after which
    level grids and ranges follow the weights (None: they stay; `calibrate` takes them anew when asked to). conditions:
    of reading; default: at once, with the read noise of the device. placing: how it is placed, as it will be later.
    Raises UserError as `mapping.place` does, and for a number of calls below 1.
    """
    if calibrate_every is not None and calibrate_every < 1:
        raise UserError(
            f"calibrate_every must be at least 1 training call, or None for never, not {calibrate_every!r}."
        )
    hidden = rewritable(model)
    if hidden:
        raise UserError(
            f"Layer {hidden[0]!r} is a {type(model.get_submodule(hidden[0])).__name__}, which holds several matrices; "
            "wrap mapping.prepare(model), which has a layer for each, and train that."
        )
    options = (placing or Placing()).options()
    placement = place(model, array, example_input, free_unused=False, **options)
    return HardwareAware(
        model,
        placement,
        seed=seed,
        example_input=example_input,
        calibrate_every=calibrate_every,
        conditions=conditions,
    )


def with_weights(
    placed: LayerPlacement, module: nn.Module, spec: ArraySpec, *, skip_zeros: bool = False
) -> LayerPlacement:
    """The layer with the levels nearest to its module's weights, and the signs that its cells are read with.

    skip_zeros: weights of exactly 0 stand on no cell where the array has no level 0.
    """
    assert isinstance(module.weight, Tensor)
    geometry = placed.geometry
    matrix = to_matrix(geometry.lowered(module.weight.detach().cpu()), geometry.groups).double().numpy()
    if not np.isfinite(matrix).all():
        raise UserError(f"Weights of layer {placed.name!r} are not finite; the training has diverged.")
    live = placed.live & (matrix != 0) if skip_zeros and 0.0 not in placed.grid.values else placed.live
    now = replace(placed, index=placed.grid.index(matrix), live=live)
    return replace(now, signs=tile_signs(now, spec)) if placed.signs else now


def compute(
    module: nn.Module, placed: LayerPlacement, spec: ArraySpec, strips: list[PlacedStrip], chip: int, input: Tensor
) -> Tensor:
    """What `mapping.layer.CrossbarLayer` computes, with a backward pass: gradients reach live weights of the module."""
    geometry, shape, calibration = placed.geometry, placed.shape, placed.calibration
    assert isinstance(module.weight, Tensor)
    unbatched = geometry.unbatched(input)
    x = input.unsqueeze(0) if unbatched else input
    geometry.require(x, placed.name)
    unit, twos = unit_conductance(spec), spec.twos_complement(calibration.signed)
    signed = calibration.signed or spec.input_bits is None
    codes = straight_through.quantise(
        x.float(), calibration.input_scale, spec.input_bits, signed=signed, twos_complement=twos
    )
    vectors = geometry.vectors(codes)
    # A weight of `scale` stands on full_scale / unit of conductance.
    scale = torch.as_tensor(placed.grid.scale, dtype=torch.float32, device=x.device)
    scale = scale.expand(shape.groups, shape.cols) * (unit / spec.encoder.full_scale_s)
    latent = to_matrix(geometry.lowered(module.weight), shape.groups) / scale[:, None, :]
    latent = latent * torch.from_numpy(placed.live.copy()).to(x.device)
    readers = [Reader(at.strip, spec, strip_converter(at.strip, calibration, spec, chip), signed=twos) for at in strips]
    total = _total(strips, readers, vectors, latent)
    top = spec.input_code_top(calibration.signed)
    y = total.view(-1, shape.groups, shape.cols) * (scale * (calibration.input_scale / top))
    if isinstance(module.bias, Tensor):
        y = y + module.bias.view(shape.groups, shape.cols)
    y = geometry.output(y, x)
    return y.squeeze(0) if unbatched else y


def _total(strips: list[PlacedStrip], readers: list[Reader], vectors: Tensor, latent: Tensor) -> Tensor:
    """(n, groups · cols) what all strips give for input codes (n, groups, rows), in conductance unit × input code."""
    groups, _, cols = latent.shape
    if all(reader.way == "whole" for reader in readers):
        seen = _effective(strips, readers, latent)
        return torch.cat([straight_through.read_whole(vectors[:, g], latent[g], seen[g]) for g in range(groups)], dim=1)
    total = torch.zeros(vectors.shape[0], groups * cols, device=vectors.device)
    for at, reader in zip(strips, readers, strict=True):
        part = straight_through.read(vectors[:, at.group, at.rows], latent[at.group][at.rows][:, at.cols], reader)
        total = total.index_add(1, at.cols + at.group * cols, part)
    return total


def _effective(strips: list[PlacedStrip], readers: list[Reader], like: Tensor) -> Tensor:
    """(groups, rows, cols) what all strips together multiply input codes with, where no converter rounds."""
    wide = any(reader.whole.dtype == torch.float64 for reader in readers)
    seen = torch.zeros(like.shape, dtype=torch.float64 if wide else torch.float32, device=like.device)
    for at, reader in zip(strips, readers, strict=True):
        seen[at.group].index_put_((at.rows[:, None], at.cols), reader.whole.to(seen.dtype), accumulate=True)
    return seen
