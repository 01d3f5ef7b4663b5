import numpy as np
import pytest
import torch
from scipy import stats

from crossbar import ArraySpec
from crossbar.converters import Converter
from crossbar.read_noise import ReadNoise
from crossbar.strip import Strip

PLACE = np.array([[3, 3, 3, 4], [0, 1, 5, 0], [0, 0, 0, 8]])


def _noise(rows=6, seed=1):
    variance = torch.rand(rows, 4, generator=torch.Generator().manual_seed(0)) + 0.1
    return ReadNoise(variance, PLACE, seed)


def _drawn(noise, driven, first=0, cycle=0):
    sums = torch.zeros(len(driven), 4)
    noise.add_to(sums, driven, first, cycle)
    return sums


def test_each_sum_has_the_exact_variance():
    noise = _noise()
    driven = torch.tensor([0.0, 1.0, 1.0, 0.0, 3.0, 0.0]).expand(4000, 6).contiguous()
    drawn = _drawn(noise, driven).double().numpy()
    sigma = (driven[0].square() @ noise.variance).sqrt().double().numpy()
    for column in range(4):
        assert stats.kstest(drawn[:, column] / sigma[column], "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.08


def test_the_compiled_draws_equal_their_twin():
    noise, driven = _noise(), torch.randint(0, 2, (50, 6), generator=torch.Generator().manual_seed(2)).float()
    slow = torch.zeros(50, 4)
    noise.add_reference(slow, (driven.square() @ noise.variance).sqrt(), 7, 33)
    assert torch.allclose(_drawn(noise, driven, 7, 33), slow, rtol=1e-6, atol=1e-7)


def test_a_draw_belongs_to_its_vector_cycle_and_chip():
    noise, driven = _noise(), torch.ones(20, 6)
    whole = _drawn(noise, driven)
    assert torch.equal(whole, torch.cat([_drawn(noise, driven[:13]), _drawn(noise, driven[13:], first=13)]))
    for other in (_drawn(noise, driven, cycle=1), _drawn(_noise(seed=2), driven), _drawn(noise, driven, first=1)):
        assert not torch.isclose(whole, other).any()


def test_silent_word_lines_make_no_noise():
    assert torch.equal(_drawn(_noise(), torch.zeros(9, 6)), torch.zeros(9, 4))


@pytest.mark.parametrize("bits", [None, 12])
def test_a_strip_is_read_with_its_noise(bits, read_strip):
    """Read cycles add up: variance Σ 4ᶜ over the bits that are set; a converter adds 1/12 of its step (one unit)²."""
    spec = ArraySpec(device="ideal", adc_bits=bits)
    noise = ReadNoise(torch.full((6, 4), 0.25), PLACE, 5)
    strip = Strip(torch.full((6, 4), 5.0), 1e-6, 4, np.array([1.0]), place=PLACE, read_noise=noise)
    codes = torch.full((4000, 6), 5.0)  # bits 0 and 2: weights 1 and 4
    converter = None
    if bits:
        from crossbar.converter_choice import converter_of

        converter = converter_of(strip, spec, np.full(4, 200.0), 0)
        assert not isinstance(converter, Converter)
    sums = read_strip(strip, codes, spec, converter).sums
    assert float(sums.mean()) == pytest.approx(150.0, abs=0.2)
    assert float(sums.std()) == pytest.approx(np.sqrt(17 * (6 * 0.25 + (1 / 12 if bits else 0))), rel=0.03)
