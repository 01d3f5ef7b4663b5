"""Reading an ONNX file into a torch module."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwmodels.errors import UserError
from mapping.onnx.layers import LAYERS, Node
from mapping.onnx.operators import OPERATORS


class OnnxGraph(nn.Module):
    """An ONNX graph: its layers as modules under the names of their nodes, the rest as functions, run in order.

    Called with the graph's inputs by position or by name; gives its one output, or a tuple. Constants that functions
    read are buffers.
    """

    def __init__(self, inputs: list[str], outputs: list[str], nodes: list[Node], constants: dict[str, Tensor]) -> None:
        """Make a layer of every node that can be one.

        Raises UserError for an operator that is not supported, naming its node.
        """
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.steps: list[tuple[Node, str | None, tuple[str, ...]]] = []
        known = dict(constants)
        for node in nodes:
            if node.kind == "Constant":
                known[node.outputs[0]] = _constant(node)
                continue
            made = LAYERS[node.kind](node, known) if node.kind in LAYERS else None
            if made is None and node.kind not in OPERATORS:
                raise node.refuse("this operator is not supported; docs/mapping.md lists those that are")
            name = None if made is None else self._add(node, made[0])
            self.steps.append((node, name, node.inputs if made is None else made[1]))
        read = {value for _, _, values in self.steps for value in values} | set(outputs)
        self.constants = {key: f"constant_{number}" for number, key in enumerate(known) if key in read}
        for key, name in self.constants.items():
            self.register_buffer(name, known[key])
        self._last = {value: number for number, (_, _, values) in enumerate(self.steps) for value in values}

    def _add(self, node: Node, layer: nn.Module) -> str:
        """Take a layer in under a name that a module may have."""
        name = node.name.strip("/").replace("/", "_").replace(".", "_") or node.outputs[0]
        while hasattr(self, name):
            name += "_"
        self.add_module(name, layer)
        return name

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Any:
        """Run the graph."""
        values: dict[str, Any] = {key: self.get_buffer(name) for key, name in self.constants.items()}
        values |= dict(zip(self.inputs, args, strict=False)) | kwargs
        missing = [name for name in self.inputs if name not in values]
        if missing or len(args) + len(kwargs) != len(self.inputs):
            count = len(args) + len(kwargs)
            raise UserError(f"The ONNX graph takes the inputs {', '.join(self.inputs)}; {count} were given.")
        for number, (node, name, read) in enumerate(self.steps):
            inputs = [values[value] if value else None for value in read]
            found = OPERATORS[node.kind](node, *inputs) if name is None else self.get_submodule(name)(*inputs)
            values |= dict(zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=False))
            for value in read:
                if self._last[value] == number and value not in self.outputs:
                    values.pop(value, None)
        outputs = tuple(values[name] for name in self.outputs)
        return outputs[0] if len(outputs) == 1 else outputs


def from_onnx(path: str | os.PathLike[str]) -> OnnxGraph:
    """An ONNX file as a torch module that `place` takes; needs the package onnx (`pip install ohmweave[onnx]`).

    Conv, ConvTranspose, Gemm and MatMul with constant weights become layers under their nodes' names; docs/mapping.md
    lists the operators. Weights become float32. Raises UserError without onnx, for a file that is none, and for an
    operator that is not supported, which is named with its node.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError:
        raise UserError(
            "Reading ONNX files needs the package onnx, which is not installed: pip install 'ohmweave[onnx]'."
        ) from None
    try:
        model = onnx.load(Path(path))
    except OSError as error:
        raise UserError(f"Cannot read the ONNX file {os.fspath(path)!r}: {error.strerror or error}.") from None
    except Exception as error:  # noqa: BLE001  # protobuf's own errors have no common type across its versions
        raise UserError(f"{os.fspath(path)!r} is no ONNX file: {error}") from None

    def tensor(value: Any) -> Tensor:
        return torch.from_numpy(numpy_helper.to_array(value).copy())

    graph = model.graph
    opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)
    constants = {item.name: tensor(item) for item in graph.initializer}
    nodes = []
    for number, item in enumerate(graph.node):
        attributes: dict[str, Any] = {"_opset": opset}
        for each in item.attribute:
            value = onnx.helper.get_attribute_value(each)
            value = tensor(value) if isinstance(value, onnx.TensorProto) else value
            attributes[each.name] = value.decode() if isinstance(value, bytes) else value
        name = item.name or f"{item.op_type}_{number}"
        nodes.append(Node(name, item.op_type, tuple(item.input), tuple(item.output), attributes))
        if item.domain not in ("", "ai.onnx"):
            raise nodes[-1].refuse(f"operators of the domain {item.domain!r} are not supported")
    inputs = [item.name for item in graph.input if item.name not in constants]
    return OnnxGraph(inputs, [item.name for item in graph.output], nodes, constants).eval()


def _constant(node: Node) -> Tensor:
    for key, value in node.attributes.items():
        if key == "value":
            return value
        if key in ("value_float", "value_int", "value_floats", "value_ints"):
            return torch.tensor(value)
    raise node.refuse("its value has a type that is not supported")
