"""ONNX files as torch modules whose layers `place` can put on arrays."""

from mapping.onnx.load import from_onnx as from_onnx
