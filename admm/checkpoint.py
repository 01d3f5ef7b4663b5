"""State on disk that survives an interruption: tensors as safetensors, the rest as JSON, replaced as one.

A checkpoint is two files in a folder. `<name>-<digest>.safetensors` holds the tensors and is written first;
`<name>.json` names it and holds everything else. Replacing the JSON file is the one step that commits, so a
reader sees the old state or the new one, never a mixture, whenever the writer died.

    tensors, tree = flatten({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": 3})
    save(folder, tensors, {"tree": tree})
    ...
    found = load(folder)
    if found is not None:
        tensors, meta = found
        state = unflatten(tensors, meta["tree"])
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from hwmodels import atomic
from hwmodels.errors import UserError

SCHEMA = "ohmweave.checkpoint/1"


def save(
    folder: str | os.PathLike[str], tensors: dict[str, Tensor], meta: dict[str, Any], name: str = "checkpoint"
) -> None:
    """Write tensors and JSON-able metadata to a folder (made if needed), replacing an earlier state atomically.

    tensors: any shapes, types and devices; each is stored as an own contiguous copy, so views and shared
    storage are fine. meta: whatever `json` writes exactly (`flatten` makes such a tree of anything nested).
    Raises UserError when the folder cannot be written.
    """
    folder = Path(folder)
    content = safetensors.torch.save({key: t.detach().cpu().clone().contiguous() for key, t in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    file = f"{name}-{digest[:16]}.safetensors"
    head = {"schema": SCHEMA, "tensors": file, "sha256": digest, "meta": meta}
    text = json.dumps(head, allow_nan=False, indent=1)
    try:
        atomic.write(folder / file, content)
        atomic.write(folder / f"{name}.json", text)
        for old in folder.glob(f"{name}-*.safetensors"):
            if old.name != file:
                old.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write the checkpoint in {folder}: {error.strerror or error}.") from error


def load(folder: str | os.PathLike[str], name: str = "checkpoint") -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The state last saved in a folder, tensors on the CPU; None when there is none.

    Raises UserError for a file that is damaged, incomplete or of another format.
    """
    path = Path(folder) / f"{name}.json"
    way_out = f"Delete {path.parent} to start afresh."
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        head = json.loads(text)
        if head["schema"] != SCHEMA:
            raise UserError(f"{path} has the format {head['schema']!r}, not {SCHEMA!r}. {way_out}")
        content = (path.parent / head["tensors"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != head["sha256"]:
            raise UserError(f"{path.parent / head['tensors']} is damaged: its checksum is wrong. {way_out}")
        return safetensors.torch.load(content), head["meta"]
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError, SafetensorError) as error:
        raise UserError(f"The checkpoint {path} cannot be read ({error}). {way_out}") from error


def flatten(tree: Any, prefix: str = "") -> tuple[dict[str, Tensor], Any]:
    """Split nested dicts, lists and tuples into a flat dict of tensors and a JSON-able skeleton.

    Exact for None, bool, int, float (infinities and NaN too), str and tensors; dict keys may be any of these
    scalars (an optimiser's `state` is keyed by int). `unflatten` undoes it. Raises TypeError for anything else.
    """
    tensors: dict[str, Tensor] = {}

    def encode(node: Any, path: str) -> Any:
        if isinstance(node, Tensor):
            key = path or "tensor"
            while key in tensors:  # {"a/b": x, "a": {"b": y}} spells one path twice
                key += "'"
            tensors[key] = node
            return {"$tensor" if node.is_contiguous() or not _channels_last(node) else "$channels_last": key}
        if isinstance(node, dict):
            return {"$dict": [[encode(k, path), encode(v, _join(path, k))] for k, v in node.items()]}
        if isinstance(node, list):
            return [encode(v, _join(path, i)) for i, v in enumerate(node)]
        if isinstance(node, tuple):
            return {"$tuple": [encode(v, _join(path, i)) for i, v in enumerate(node)]}
        if isinstance(node, float) and not math.isfinite(node):
            return {"$float": repr(float(node))}
        if node is None or isinstance(node, bool | int | float | str):
            return node
        raise TypeError(f"a checkpoint cannot hold {type(node).__name__} at {path!r}")

    skeleton = encode(tree, prefix)
    return tensors, skeleton


def unflatten(tensors: dict[str, Tensor], skeleton: Any) -> Any:
    """Rebuild what `flatten` took apart: same structure, same key types, bit-equal numbers, same order in memory."""
    if isinstance(skeleton, list):
        return [unflatten(tensors, v) for v in skeleton]
    if not isinstance(skeleton, dict):
        return skeleton
    ((kind, content),) = skeleton.items()
    if kind == "$tensor":
        return tensors[content]
    if kind == "$channels_last":
        return tensors[content].contiguous(memory_format=torch.channels_last)
    if kind == "$float":
        return float(content)
    if kind == "$tuple":
        return tuple(unflatten(tensors, v) for v in content)
    assert kind == "$dict", kind
    return {unflatten(tensors, k): unflatten(tensors, v) for k, v in content}


def _channels_last(tensor: Tensor) -> bool:
    """Whether a tensor stands in memory channel by channel: sums over it add up in another order."""
    return tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _join(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)
