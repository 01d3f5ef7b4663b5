"""ONNX graphs against onnxruntime: every operator of the table, whole networks, and what is refused."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import mapping
from hwmodels.errors import UserError
from mapping.onnx.layers import LAYERS
from mapping.onnx.operators import OPERATORS

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 4, 6, 5)).astype(np.float32)
Y = RNG.standard_normal((2, 4, 6, 5)).astype(np.float32)
SEQUENCE = RNG.standard_normal((2, 4, 7)).astype(np.float32)
MATRIX = RNG.standard_normal((5, 3)).astype(np.float32)


def _f(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def _i(*values):
    return np.array(values, dtype=np.int64)


TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL, "int32": TensorProto.INT32}


def _saved(path, nodes, inputs, constants=None, outputs=("out",), opset=20):
    """A file with these nodes; inputs: name → an array of its shape and type."""
    values = [helper.make_tensor_value_info(k, TYPES[str(v.dtype)], v.shape) for k, v in inputs.items()]
    ends = [helper.make_empty_tensor_value_info(name) for name in outputs]
    held = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", values, ends, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.save(model, path)
    return path


def _truth(path, inputs):
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def _agrees(path, inputs, tolerance=1e-5):
    network = mapping.from_onnx(path)
    with torch.no_grad():
        found = network(**{key: torch.from_numpy(value) for key, value in inputs.items()})
    found = found if isinstance(found, tuple) else (found,)
    expected = _truth(path, inputs)
    assert len(found) == len(expected)
    for a, b in zip(expected, found, strict=True):
        assert tuple(b.shape) == a.shape
        np.testing.assert_allclose(b.numpy(), a, rtol=tolerance, atol=tolerance)
    return network


CASES = [
    *[(kind, [X], {}) for kind in ("Abs", "Cos", "Erf", "Exp", "Identity", "Neg", "Relu", "Sigmoid", "Sin", "Tanh")],
    *[(kind, [np.abs(X) + 0.5], {}) for kind in ("Log", "Reciprocal", "Sqrt")],
    *[(kind, [X], {}) for kind in ("HardSigmoid", "HardSwish", "Selu", "Softplus", "Dropout")],
    *[(kind, [X, Y], {}) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Greater", "Less")],
    *[(kind, [X, X * (Y > 0)], {}) for kind in ("Equal", "GreaterOrEqual", "LessOrEqual")],
    *[(kind, [X > 0, Y > 0], {}) for kind in ("And", "Or")],
    ("Not", [X > 0], {}),
    ("Div", [_i(7, -7), _i(2, 2)], {}),
    ("Pow", [np.abs(X), np.array(1.5, np.float32)], {}),
    ("Elu", [X], {"alpha": 0.7}),
    ("Gelu", [X], {}),
    ("Gelu", [X], {"approximate": "tanh"}),
    ("LeakyRelu", [X], {"alpha": 0.2}),
    ("PRelu", [X, _f(4, 1, 1)], {}),
    ("Clip", [X, np.array(-0.5, np.float32), np.array(0.5, np.float32)], {}),
    ("Cast", [X], {"to": TensorProto.INT32}),
    ("Softmax", [X], {"axis": 1}),
    ("LogSoftmax", [X], {}),
    ("Concat", [X, Y], {"axis": 1}),
    ("ConstantOfShape", [_i(2, 3)], {"value": numpy_helper.from_array(np.array([2.0], dtype=np.float32))}),
    ("Expand", [_f(1, 4, 1), _i(3, 1, 5)], {}),
    ("Flatten", [X], {}),
    ("Flatten", [X], {"axis": 2}),
    ("Flatten", [X], {"axis": 0}),
    ("Gather", [X, _i(0, -1)], {"axis": 1}),
    ("Gather", [_f(6, 3), _i(0, 5, 2)], {}),
    ("GlobalAveragePool", [X], {}),
    ("GlobalMaxPool", [X], {}),
    ("AveragePool", [X], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
    ("AveragePool", [X], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", [SEQUENCE], {"kernel_shape": [2]}),
    ("MaxPool", [X], {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [1, 1, 0, 1]}),
    ("MaxPool", [SEQUENCE], {"kernel_shape": [3], "dilations": [2]}),
    ("MaxPool", [X], {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}),
    ("InstanceNormalization", [X, _f(4), _f(4)], {}),
    ("LayerNormalization", [X, _f(5), _f(5)], {}),
    ("LayerNormalization", [X, _f(6, 5)], {"axis": 2}),
    ("MatMul", [X, np.swapaxes(Y, 2, 3).copy()], {}),
    ("Gemm", [_f(3, 4), _f(5, 4), _f(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", [_f(4, 3), _f(4, 5)], {"transA": 1}),
    ("Pad", [X, _i(0, 0, 1, 2, 0, 0, 0, 1), np.array(3, np.float32)], {}),
    ("Pad", [X, _i(0, 0, 1, 2, 0, 0, 0, 1)], {"mode": "reflect"}),
    ("Pad", [SEQUENCE, _i(0, 0, 1, 0, 0, 2)], {"mode": "edge"}),
    ("Reshape", [X, _i(0, -1, 10)], {}),
    *[(f"Reduce{kind}", [X, _i(1, -1)], {"keepdims": 0}) for kind in ("Max", "Mean", "Min", "Sum")],
    ("ReduceMean", [X], {}),
    ("Resize", [X, None, np.array([1, 1, 2, 2], np.float32)],
     {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    ("Resize", [X, None, None, _i(2, 4, 9, 10)], {"mode": "linear"}),
    ("Resize", [X, None, np.array([1, 1, 2, 2], np.float32)],
     {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    ("Shape", [X], {"start": 1}),
    ("Slice", [X, _i(1, 0), _i(100, -1), _i(2, 3), _i(2, 1)], {}),
    ("Slice", [X, _i(-1), _i(-100), _i(3), _i(-1)], {}),
    ("Split", [X, _i(1, 3)], {"axis": 1}),
    ("Split", [X], {"axis": 2, "num_outputs": 2}),
    ("Squeeze", [_f(1, 3, 1), _i(0)], {}),
    ("Squeeze", [_f(1, 3, 1)], {}),
    ("Tile", [SEQUENCE, _i(1, 2, 3)], {}),
    ("Transpose", [X], {"perm": [0, 2, 3, 1]}),
    ("Transpose", [X], {}),
    ("Unsqueeze", [SEQUENCE, _i(0, -1)], {}),
    ("Where", [X > 0, X, Y], {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes"), CASES, ids=lambda each: each if isinstance(each, str) else ""
)
def test_an_operator_computes_what_onnxruntime_computes(tmp_path, kind, inputs, attributes):
    given = {f"in{i}": value for i, value in enumerate(inputs) if value is not None}
    # Shapes and axes are constants in every exported graph.
    constants = {k: v for k, v in given.items() if k != "in0" and v.dtype == np.int64 and kind not in ("Div", "Gather")}
    names = [f"in{i}" if value is not None else "" for i, value in enumerate(inputs)]
    outputs = ("out", "other") if kind == "Split" else ("out",)
    node = helper.make_node(kind, names, outputs, name="the_node", **attributes)
    fed = {k: v for k, v in given.items() if k not in constants}
    _agrees(_saved(tmp_path / "m.onnx", [node], fed, constants, outputs), fed)


def test_every_operator_has_a_case():
    assert {kind for kind, _, _ in CASES} == set(OPERATORS)


def test_the_table_in_the_documentation_is_this_one():
    page = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text(encoding="utf-8")
    table = page.split("<!-- onnx -->")[1]
    assert set(re.findall(r"`(\w+)`", table)) == set(OPERATORS) | set(LAYERS) | {"Constant"}


@pytest.mark.parametrize(
    ("kind", "x", "weight", "attributes"),
    [
        ("Conv", X, (6, 2, 3, 3), {"group": 2, "strides": [2, 1], "pads": [1, 1, 1, 1]}),
        ("Conv", X, (6, 4, 3, 2), {"pads": [0, 1, 2, 0], "dilations": [2, 1]}),
        ("Conv", X, (6, 4, 3, 2), {"auto_pad": "SAME_LOWER"}),
        ("Conv", X, (6, 4, 3, 2), {"auto_pad": "VALID"}),
        ("Conv", SEQUENCE, (3, 4, 3), {}),
        ("ConvTranspose", X, (4, 3, 3, 2), {"group": 2, "strides": [2, 2], "pads": [1, 0, 1, 0]}),
        ("ConvTranspose", X, (4, 3, 3, 3), {"strides": [2, 3], "output_padding": [1, 0], "pads": [1, 1, 1, 0]}),
        ("ConvTranspose", SEQUENCE, (4, 3, 3), {"dilations": [2]}),
    ],
)
def test_a_convolution_becomes_a_layer_on_arrays(tmp_path, ideal, kind, x, weight, attributes):
    bias = _f(weight[0] if kind == "Conv" else weight[1] * attributes.get("group", 1))
    node = helper.make_node(kind, ["in0", "w", "b"], ["out"], name="/body/the.node", **attributes)
    path = _saved(tmp_path / "m.onnx", [node], {"in0": x}, {"w": _f(*weight), "b": bias})
    network = _agrees(path, {"in0": x})
    (layer,) = mapping.place(network, ideal, torch.from_numpy(x)).layers.values()
    assert layer.name.startswith("body_the_node")
    assert layer.shape.weights == np.prod(weight)


def _image_network(path):
    """Convolution, normalisation, pooling, a residual join, a transposed convolution, a linear layer."""
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "w1"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        make("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"], name="norm1"),
        make("Relu", ["n"], ["r"], name="relu1"),
        make("Conv", ["r", "w2", "b2"], ["c"], name="conv2", pads=[1, 1, 1, 1], group=4),
        make("Add", ["c", "r"], ["j"], name="join"),
        make("ConvTranspose", ["j", "w3"], ["t"], name="up", strides=[2, 2]),
        make("MaxPool", ["t"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        make("GlobalAveragePool", ["p"], ["g"], name="mean"),
        make("Flatten", ["g"], ["f"], name="flat"),
        make("Gemm", ["f", "w4", "b4"], ["out"], name="fc", transB=1),
    ]
    constants = {"w1": _f(4, 3, 3, 3), "s": _f(4), "b": _f(4), "m": _f(4), "v": np.abs(_f(4)) + 0.5}
    constants |= {"w2": _f(4, 1, 3, 3), "b2": _f(4), "w3": _f(4, 5, 2, 2), "w4": _f(3, 5), "b4": _f(3)}
    return _saved(path, nodes, {"x": _f(2, 3, 8, 8)}, constants)


def _language_network(path):
    """A look-up, projections, heads by reshape and transpose, softmax, normalisation, a gated activation."""
    make = helper.make_node
    nodes = [make("Gather", ["table", "ids"], ["x"], name="embed")]
    for name in "qkv":
        nodes += [
            make("MatMul", ["x", f"w{name}"], [f"{name}1"], name=f"{name}_proj"),
            make("Add", [f"{name}1", f"b{name}"], [f"{name}2"], name=f"{name}_bias"),
            make("Reshape", [f"{name}2", "heads"], [f"{name}3"], name=f"{name}_heads"),
            make("Transpose", [f"{name}3"], [name], perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]),
        ]
    nodes += [
        make("MatMul", ["q", "k"], ["scores"], name="scores"),
        make("Constant", [], ["scale"], name="scale", value_float=0.5),
        make("Mul", ["scores", "scale"], ["scaled"], name="scaled"),
        make("Softmax", ["scaled"], ["weights"], name="softmax"),
        make("MatMul", ["weights", "v"], ["mixed"], name="mix"),
        make("Transpose", ["mixed"], ["back"], name="back", perm=[0, 2, 1, 3]),
        make("Reshape", ["back", "flat"], ["joined"], name="joined"),
        make("Add", ["joined", "x"], ["sum"], name="residual"),
        make("LayerNormalization", ["sum", "s", "b"], ["normal"], name="norm"),
        make("MatMul", ["normal", "wo"], ["wide"], name="grow"),
        make("Gelu", ["wide"], ["out"], name="gelu"),
    ]
    constants = {
        "table": _f(9, 8),
        "heads": _i(0, 0, 2, 4),
        "flat": _i(0, 0, 8),
        "s": _f(8),
        "b": _f(8),
        "wo": _f(8, 6),
    }
    constants |= {f"w{name}": _f(8, 8) for name in "qkv"} | {f"b{name}": _f(8) for name in "qkv"}
    return _saved(path, nodes, {"ids": RNG.integers(0, 9, (2, 5))}, constants)


@pytest.mark.parametrize(
    ("build", "name", "x", "layers"),
    [
        (_image_network, "x", _f(2, 3, 8, 8), ["conv1", "conv2", "up", "fc"]),
        (_language_network, "ids", RNG.integers(0, 9, (2, 5)), ["q_proj", "k_proj", "v_proj", "grow"]),
    ],
)
def test_a_network_is_read_placed_and_run(tmp_path, ideal, build, name, x, layers):
    path = build(tmp_path / "m.onnx")
    network = _agrees(path, {name: x}, tolerance=1e-4)
    example = torch.from_numpy(x)
    placement = mapping.place(network, ideal, example)
    assert list(placement.layers) == layers
    with torch.no_grad():
        found, expected = mapping.CrossbarNetwork(placement)(example), placement.reference()(example)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_softmax_of_an_old_file_runs_over_all_later_axes(tmp_path):
    node = helper.make_node("Softmax", ["in0"], ["out"], axis=1)
    _agrees(_saved(tmp_path / "m.onnx", [node], {"in0": X}, opset=11), {"in0": X})


@pytest.mark.parametrize(
    ("kind", "attributes", "told"),
    [
        ("Det", {}, r"'the_node' \(Det\): this operator is not supported"),
        (
            "Conv",
            {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
            r"'the_node' \(Conv\): SAME_UPPER padding with a stride",
        ),
        ("ConvTranspose", {"output_shape": [9, 9]}, r"'the_node' \(ConvTranspose\): output_shape"),
    ],
)
def test_what_is_not_supported_is_named_with_its_node(tmp_path, kind, attributes, told):
    node = helper.make_node(kind, ["in0", "w"][: 1 if kind == "Det" else 2], ["out"], name="the_node", **attributes)
    path = _saved(tmp_path / "m.onnx", [node], {"in0": X}, {"w": _f(4, 4, 3, 3)})
    with pytest.raises(UserError, match=told):
        mapping.from_onnx(path)


def test_files_that_are_none_and_inputs_that_are_missing(tmp_path):
    with pytest.raises(UserError, match=r"Cannot read the ONNX file .*: No such file"):
        mapping.from_onnx(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("This is no graph.")
    with pytest.raises(UserError, match="is no ONNX file"):
        mapping.from_onnx(tmp_path / "text.onnx")
    network = mapping.from_onnx(_image_network(tmp_path / "m.onnx"))
    with pytest.raises(UserError, match="takes the inputs x; 2 were given"):
        network(torch.zeros(1), torch.zeros(1))


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'ohmweave\[onnx\]'"):
        mapping.from_onnx(tmp_path / "m.onnx")
