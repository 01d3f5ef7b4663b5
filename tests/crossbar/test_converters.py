import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossbar.converters import Converter, adc_codes, input_codes, input_cycles


def test_the_worked_table_of_the_docstring():
    sums = torch.tensor([-0.6, -0.2, 0.4, 0.5, 0.6, 1.5, 2.5, 3.4, 9.0], dtype=torch.float64)
    codes, clipped = adc_codes(sums, Converter.of_range(3.0, 2))
    assert codes.tolist() == [0, 0, 0, 0, 1, 2, 2, 3, 3]
    assert int(clipped) == 2


@given(bits=st.integers(1, 16), dac=st.integers(1, 8), seed=st.integers(0, 2**31))
def test_input_cycles_add_up_to_the_code(bits, dac, seed):
    dac = min(dac, bits)
    codes = torch.randint(0, 2**bits, (7, 3), generator=torch.Generator().manual_seed(seed)).float()
    cycles = list(input_cycles(codes, bits, dac))
    assert len(cycles) == -(-bits // dac)
    assert torch.equal(sum(weight * cycle for weight, cycle in cycles), codes)
    assert all(float(cycle.max()) <= 2**dac - 1 and float(cycle.min()) >= 0 for _, cycle in cycles)


@given(bits=st.integers(1, 12), scale=st.floats(0.01, 100))
def test_input_codes_are_the_nearest(bits, scale):
    x = torch.linspace(0, scale, 101, dtype=torch.float64)
    codes = input_codes(x, scale, bits)
    assert float((codes * scale / (2**bits - 1) - x).abs().max()) <= scale / (2**bits - 1) / 2 * (1 + 1e-9)
    assert float(codes.max()) == 2**bits - 1


def test_inputs_beyond_the_range_are_clipped():
    assert input_codes(torch.tensor([-1.0, 0.0, 2.0, 5.0]), 2.0, 4).tolist() == [0, 0, 15, 15]


def test_an_ideal_input_is_the_value_itself():
    x = torch.rand(10)
    assert torch.equal(input_codes(x, 2.0, None), x / 2.0)
    assert [weight for weight, _ in input_cycles(x, None, 1)] == [1.0]


@pytest.mark.parametrize("bits", [1, 4, 8, 12])
def test_the_error_of_a_converter_is_half_a_step(bits):
    sums = torch.linspace(0, 10, 5001, dtype=torch.float64)
    step = 10 / (2**bits - 1)
    codes, clipped = adc_codes(sums.clone(), Converter.of_range(10.0, bits))
    assert int(clipped) == 0
    assert float((codes * step - sums).abs().max()) <= step / 2 * (1 + 1e-9)


def test_a_signed_converter_takes_both_signs():
    """Three bits over ±3: one step a unit, codes −4 … 3."""
    sums = torch.tensor([-9.0, -4.4, -4.6, -0.5, 0.5, 1.5, 3.4, 3.6])
    codes, clipped = adc_codes(sums, Converter.of_range(3.0, 3, signed=True))
    assert codes.tolist() == [-4, -4, -4, 0, 0, 2, 3, 3]
    assert int(clipped) == 3
