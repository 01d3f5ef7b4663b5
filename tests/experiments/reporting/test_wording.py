"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.reporting import wording
from experiments.reporting.wording import plain

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0123456, "0.0123"),
        (1.2, "1.20"),
        (-0.5, "−0.500"),
        (999.6, "1 000"),
        (99.96, "100"),
        (48000, "48 000"),
        (1234567, "1 234 567"),
        (1.234e8, "1.23 × 10⁸"),
        (0.0000999999, "0.000100"),
        (1.23e-7, "1.23 × 10⁻⁷"),
        (-2e-12, "−2.00 × 10⁻¹²"),
        (None, "–"),
        (NAN, "–"),
        (INF, "–"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert plain(wording.number(value)) == text


@given(st.floats(-1e12, 1e12).filter(lambda value: abs(value) > 1e-12), st.integers(2, 6))
def test_a_number_read_back_is_the_value_to_its_digits(value: float, digits: int) -> None:
    text = plain(wording.number(value, digits)).replace("−", "-")
    mantissa, _, power = text.partition(" × 10")
    exponent = int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
    back = float(mantissa.replace(" ", "")) * 10.0**exponent
    assert back == pytest.approx(value, rel=0.5001 * 10.0 ** (1 - digits))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (wording.percent(0.978), "97.8 %"),
        (wording.percent(0.97823, 2), "97.82 %"),
        (wording.percent(NAN), "–"),
        (wording.share(0.0), "0 %"),
        (wording.share(1.0), "100 %"),
        (wording.share(1e-9), "< 0.1 %"),
        (wording.share(0.9999999), "> 99.9 %"),
        (wording.share(0.0234), "2.3 %"),
        (wording.share(None), "–"),
        (wording.points(-0.0049), "−0.5"),
        (wording.points(0.002), "+0.2"),
        (wording.points(-0.0001), "0.0"),
        (wording.change(0.851), "−85.1 %"),
        (wording.change(-0.1), "+10.0 %"),
        (wording.change(0.0), "0.0 %"),
        (wording.change(None), "–"),
        (wording.times(8.913), "8.91×"),
        (wording.quantity(0.0204, "mm²"), "0.0204 mm²"),
        (wording.quantity(None, "mm²"), "–"),
        (wording.duration(0.4234), "0.423 s"),
        (wording.duration(41.2), "41.2 s"),
        (wording.duration(99.97), "1 min 40 s"),
        (wording.duration(192), "3 min 12 s"),
        (wording.duration(7501), "2 h 05 min"),
        (wording.plural(1, "array"), "1 array"),
        (wording.plural(5000, "array"), "5 000 arrays"),
        (wording.count(None), "–"),
    ],
)
def test_wording(found: str, text: str) -> None:
    assert plain(found) == text


@given(st.text(min_size=1, max_size=60), st.integers(4, 30))
def test_a_shortened_name_keeps_both_ends(name: str, limit: int) -> None:
    short = wording.shorten(name, limit)
    assert len(short) <= limit
    assert short[0] == name[0]
    assert short[-1] == name[-1]
    if len(name) <= limit:
        assert short == name
