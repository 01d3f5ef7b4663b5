from dataclasses import replace

import numpy as np
import torch

from crossbar import ArraySpec, straight_through
from crossbar.converters import Converter, input_codes
from crossbar.engine import Reader
from crossbar.strip import Strip

SPEC = ArraySpec(device="ideal", input_bits=8)


def _strip(seed=0, rows=12, cols=5):
    g = torch.rand(rows, 2 * cols, generator=torch.Generator().manual_seed(seed)) * 20
    return Strip(g=g, unit_s=1e-7, cols=cols, plane_weights=np.array([1.0, -1.0]))


def test_input_codes_and_their_slope():
    x = torch.tensor([-0.3, 0.0, 0.2, 0.5, 0.9, 1.4], requires_grad=True)
    codes = straight_through.quantise(x, 1.0, 8)
    assert torch.equal(codes.detach(), input_codes(x.detach(), 1.0, 8))
    codes.sum().backward()
    assert torch.equal(x.grad[[2, 3, 4]], torch.full((3,), 255.0))
    assert x.grad[5] == 0
    signed = straight_through.quantise(x.detach(), 1.0, 8, signed=True)
    assert torch.equal(signed[0], -input_codes(torch.tensor(0.3), 1.0, 8))


def test_a_strips_gradients_are_those_of_its_effective_weights():
    """With a fine converter the read is codes @ (g₊ − g₋); its gradients are that product's."""
    strip = _strip()
    codes = torch.randint(-255, 256, (7, 12), generator=torch.Generator().manual_seed(1)).float().requires_grad_()
    latent = torch.randn(12, 5, requires_grad=True)
    reader = Reader(strip, SPEC.with_(adc_bits=16), Converter(0.01, 0, 2**16 - 1))
    y = straight_through.read(codes, latent, reader)
    effective = (strip.g[:, :5] - strip.g[:, 5:]).detach()
    assert torch.allclose(y, codes.detach() @ effective, rtol=1e-3, atol=20)
    seed = torch.randn(7, 5, generator=torch.Generator().manual_seed(2))
    y.backward(seed)
    assert torch.allclose(codes.grad, seed @ effective.T, rtol=1e-5, atol=1e-4)
    assert torch.allclose(latent.grad, codes.detach().T @ seed, rtol=1e-5, atol=1e-3)


def test_clipped_conversions_pass_nothing_on():
    """Where converters always clip, all gradient is gone; where one cycle's do, that cycle's share."""
    strip = _strip()
    strip = replace(strip, g=strip.g + 5)
    codes = torch.full((3, 12), 255.0, requires_grad=True)
    latent = torch.zeros(12, 5, requires_grad=True)
    straight_through.read(codes, latent, Reader(strip, SPEC, Converter(0.1, 0, 255))).sum().backward()
    assert not codes.grad.any()
    assert not latent.grad.any()
    # Only the top bit drives all rows: its cycle, 128 of 255 of the result, is clipped.
    codes = torch.full((1, 12), 128.0)
    codes[0, 0] = 255.0
    codes.requires_grad_()
    straight_through.read(codes, latent, Reader(strip, SPEC, Converter(0.12, 0, 255))).sum().backward()
    expected = (strip.g[:, :5] - strip.g[:, 5:]).sum(1) * (127 / 255)
    assert torch.allclose(codes.grad[0], expected, rtol=1e-4)


def test_ideal_inputs_and_no_converter_are_plain_torch():
    strip, spec = _strip(), SPEC.with_(input_bits=None, adc_bits=None)
    x = torch.randn(6, 12, requires_grad=True)
    y = straight_through.read(
        straight_through.quantise(x, 2.0, None, signed=True), torch.zeros(12, 5), Reader(strip, spec, None)
    )
    wanted = x / 2 @ (strip.g[:, :5] - strip.g[:, 5:])
    assert torch.allclose(y, wanted, rtol=1e-4, atol=1e-4)
    found = torch.autograd.grad(y.square().sum(), x)[0]
    assert torch.allclose(found, torch.autograd.grad(wanted.square().sum(), x)[0], rtol=1e-3, atol=1e-2)


def test_one_product_is_what_the_read_gives_where_nothing_rounds():
    strip, spec = _strip(seed=3), SPEC.with_(adc_bits=None)
    reader = Reader(strip, spec, None)
    assert reader.way == "whole"
    codes = torch.randint(-255, 256, (7, 12), generator=torch.Generator().manual_seed(4)).float()
    found = []
    for read in (
        lambda codes, latent: straight_through.read(codes, latent, reader),
        lambda codes, latent: straight_through.read_whole(codes, latent, reader.whole),
    ):
        x, latent = codes.clone().requires_grad_(), torch.randn(12, 5).requires_grad_()
        y = read(x, latent)
        y.square().sum().backward()
        found.append((y.detach(), x.grad, latent.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(one.abs().max()))
