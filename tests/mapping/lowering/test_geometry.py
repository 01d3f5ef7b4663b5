"""Every layer type against torch's own product, over strides, paddings, dilations, groups and output paddings."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from crossbar import to_matrix
from hwmodels.errors import UserError
from mapping.lowering import geometry, why_not_mappable

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TURNED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def _axes(draw, axes, low, high):
    return tuple(draw(st.integers(low, high)) for _ in range(axes))


@st.composite
def convolutions(draw):
    """A convolution and an input that it takes."""
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2, 3]))
    inputs, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    kernel, stride = _axes(draw, axes, 1, 3), _axes(draw, axes, 1, 3)
    dilation = _axes(draw, axes, 1, 2)
    mode = draw(st.sampled_from(["zeros", "reflect", "circular", "replicate", "same"]))
    torch.manual_seed(draw(st.integers(0, 99)))
    if mode == "same":
        odd = tuple(size | 1 for size in kernel)  # torch warns of even ones
        layer = CONV[axes](inputs, outputs, odd, 1, "same", dilation, groups)
    else:
        padding = _axes(draw, axes, 0, 2)
        layer = CONV[axes](inputs, outputs, kernel, stride, padding, dilation, groups, padding_mode=mode)
    return layer, torch.randn(2, inputs, *(5 + draw(st.integers(0, 2)) for _ in range(axes)))


@st.composite
def transposed(draw):
    """A transposed convolution and an input that it takes."""
    axes = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2, 3]))
    inputs, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    kernel, stride, dilation = _axes(draw, axes, 1, 3), _axes(draw, axes, 1, 3), _axes(draw, axes, 1, 2)
    padding = _axes(draw, axes, 0, 3)
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    torch.manual_seed(draw(st.integers(0, 99)))
    layer = TURNED[axes](inputs, outputs, kernel, stride, padding, more, groups, dilation=dilation)
    x = torch.randn(2, inputs, *(3 + draw(st.integers(0, 2)) for _ in range(axes)))
    assume(min(geometry(layer).output_size(x)) >= 1)
    return layer, x


@torch.no_grad()
def _check(layer, x):
    """The lowered product equals torch's; both ways to get the vectors agree; the weight comes back."""
    form = geometry(layer)
    expected = layer(x)
    weight = form.lowered(layer.weight)
    assert tuple(weight.shape) == form.weight_shape
    assert tuple(layer.weight.shape) == form.stored_shape
    assert torch.equal(form.stored(weight), layer.weight)
    vectors = form.vectors(x)
    assert len(vectors) == form.vector_count(x)
    gathered, offsets = form.gather(x)
    assert torch.equal(gathered.matrix().unflatten(1, (form.groups, -1)), vectors)
    assert offsets.shape == (form.groups, form.shape(1).rows)
    product = torch.einsum("ngr,grc->ngc", vectors, to_matrix(weight, form.groups))
    bias = layer.bias.view(-1, *[1] * form.axes)
    torch.testing.assert_close(form.output(product, x) + bias, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(form.apply(x, weight, layer.bias), expected, rtol=1e-5, atol=1e-5)


@given(convolutions())
def test_a_convolution_is_its_vectors_times_its_matrix(case):
    _check(*case)


@settings(max_examples=60)
@given(transposed())
def test_a_transposed_convolution_is_its_stuffed_vectors_times_its_turned_matrix(case):
    _check(*case)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_codes_of_one_and_two_bytes_are_stuffed_and_padded_exactly(dtype):
    form = geometry(nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, output_padding=1))
    codes = torch.randint(0, 200, (2, 2, 4, 5)).to(dtype)
    found = form.gather(codes)[0].matrix()
    assert found.dtype == dtype
    assert torch.equal(found.float(), form.gather(codes.float())[0].matrix())


def test_one_sample_without_a_batch_axis():
    layer, x = nn.ConvTranspose1d(2, 3, 4, stride=2), torch.randn(2, 6)
    form = geometry(layer)
    product = torch.einsum("ngr,grc->ngc", form.vectors(x), to_matrix(form.lowered(layer.weight)))
    torch.testing.assert_close(form.output(product, x), layer(x) - layer.bias.view(-1, 1))


@pytest.mark.parametrize(
    ("layer", "x", "wanted"),
    [
        (nn.Conv1d(2, 3, 4), torch.randn(1, 2, 3), r"\(batch, 2, length\) no smaller than its kernel, not \(1, 2, 3\)"),
        (nn.Conv3d(2, 3, 2), torch.randn(1, 1, 3, 3, 3), r"\(batch, 2, depth, height, width\)"),
        (nn.ConvTranspose2d(2, 3, 1, padding=2), torch.randn(1, 2, 4, 4), r"\(batch, 2, height, width\)"),
        (nn.Linear(4, 3), torch.randn(1, 5), r"\(…, 4\), not \(1, 5\)"),
    ],
)
def test_an_input_that_does_not_fit_is_named(layer, x, wanted):
    with pytest.raises(UserError, match=f"Layer 'here' takes an input of shape {wanted}"):
        geometry(layer).require(x, "here")


def test_a_layer_that_computes_something_else_stays_digital():
    class Doubled(nn.Conv1d):
        def forward(self, input):
            return 2 * super().forward(input)

    assert "overrides the forward" in str(why_not_mappable(Doubled(1, 1, 1)))
    assert "look-up" in str(why_not_mappable(nn.Embedding(3, 2)))
    assert "normalisation" in str(why_not_mappable(nn.LayerNorm(3)))
    assert why_not_mappable(nn.ConvTranspose3d(1, 1, 1)) is None
