"""What of a network on arrays has to be kept beside its digital tensors, so that the same chip comes back."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from crossbar import ArraySpec
from hwmodels.errors import UserError
from mapping.conditions import Conditions
from mapping.fault_maps import FaultMaps
from mapping.placement import LayerPlacement, Placement
from mapping.placement_file import content_hash

SCHEMA = "ohmweave.chip/1"


def packed(state: dict[str, Any]) -> Tensor:
    """A state as JSON in bytes, a uint8 tensor, which every format for tensors can hold."""
    text = json.dumps({"schema": SCHEMA} | state, sort_keys=True).encode()
    return torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())


def unpacked(state: Tensor) -> dict[str, Any]:
    """Undo `packed`. Raises UserError for what is none."""
    try:
        found = json.loads(state.cpu().numpy().tobytes().decode())
    except (AttributeError, ValueError) as error:
        raise UserError(f"The state of the chip is damaged: {error}") from None
    if found.get("schema") != SCHEMA:
        raise UserError(f"The state of the chip has the schema {found.get('schema')!r}; this version reads {SCHEMA!r}.")
    return found


def fingerprint(
    placement: Placement, conditions: Conditions, conductance_bits: int | None, faults: FaultMaps | None = None
) -> str:
    """SHA-256 of all that says, with the seed, what stands on the arrays and how it is read."""
    digest = hashlib.sha256()
    spec = TypeAdapter(ArraySpec).dump_json(placement.array)
    digest.update(spec + repr((conditions, conductance_bits)).encode())
    if placement.homes:
        digest.update(f"homes {placement.homes}".encode())
    for number, codes in sorted((faults or {}).items()):
        digest.update(f"faults of {number}".encode() + np.ascontiguousarray(codes).tobytes())
    for layer in placement.layers.values():
        _digest_layer(digest, layer)
    return digest.hexdigest()


def _digest_layer(digest: Any, layer: LayerPlacement) -> None:
    calibration = layer.calibration
    told = (layer.name, layer.geometry, calibration.input_scale, calibration.signed, calibration.adc_full_scale_s)
    digest.update(repr(told).encode())
    if layer.array is not None:
        digest.update(TypeAdapter(ArraySpec).dump_json(layer.array))
    digest.update(content_hash(layer).encode())
    digest.update(np.ascontiguousarray(calibration.converter_full_scale_s).tobytes())
