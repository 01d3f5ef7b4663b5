import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import Library, UserError
from hwmodels.costs.adc_cost import AdcCost, andrulis, checked_model, isaac_rule, listed

EIGHT = AdcCost(1200e-12, 2e-3 / 1.2e9, 2e-3, 0.0, 1.2e9)


@pytest.mark.parametrize(
    ("bits", "energy_pj", "area_um2"),
    # the published regression evaluated at 32 nm and 1.28 GS/s
    [
        (4, 0.924, 5190),
        (5, 0.936, 5211),
        (6, 1.065, 5416),
        (7, 1.312, 5765),
        (8, 1.929, 6469),
        (9, 5.53, 8865),
        (10, 16.42, 12275),
    ],
)
def test_the_regression_gives_its_published_values(bits, energy_pj, area_um2):
    cost = andrulis(bits, 1.28e9, 32)
    assert cost.energy_j * 1e12 == pytest.approx(energy_pj, rel=1e-3)
    assert cost.area_m2 * 1e12 == pytest.approx(area_um2, rel=1e-3)
    assert cost.power_w == pytest.approx(cost.energy_j * 1.28e9)


def test_the_regression_at_other_rates_and_nodes():
    assert andrulis(8, 1e8, 32).energy_j * 1e12 == pytest.approx(1.714, rel=1e-3)
    assert andrulis(8, 1e8, 32).area_m2 * 1e12 == pytest.approx(3939, rel=1e-3)
    assert andrulis(8, 1.28e9, 65).energy_j * 1e12 == pytest.approx(7.311, rel=1e-3)
    assert andrulis(8, 1.28e9, 65).area_m2 * 1e12 == pytest.approx(19480, rel=1e-3)
    assert andrulis(8, 1.28e9, 32).power_w * 1e3 == pytest.approx(2.47, rel=1e-3)
    # below the knee of the rate the energy does not depend on it
    assert andrulis(4, 1e6, 32).energy_j == andrulis(4, 1e8, 32).energy_j


@pytest.mark.parametrize(
    ("bits", "rate", "node", "words"),
    [
        (3, 1e9, 32, r"'andrulis' holds for bits from 4 to 16, not 3"),
        (17, 1e9, 32, "bits"),
        (8, 2e10, 32, r"rate_hz from 1 to 1e\+10, not 2e\+10"),
        (8, 0.0, 32, "rate_hz"),
        (8, 1e9, 3, r"node_nm from 7 to 180, not 3"),
        (8, 1e9, 250, "node_nm"),
    ],
)
def test_outside_its_range_the_regression_refuses(bits, rate, node, words):
    with pytest.raises(UserError, match=words):
        andrulis(bits, rate, node)


@settings(max_examples=40, deadline=None)
@given(bits=st.integers(4, 15), rate=st.floats(1e5, 9e9), node=st.floats(7, 170))
def test_the_regression_rises_with_bits_rate_and_node(bits, rate, node):
    base = andrulis(bits, rate, node)
    assert andrulis(bits + 1, rate, node).energy_j > base.energy_j * (1 - 1e-12)
    assert andrulis(bits, rate * 1.1, node).energy_j >= base.energy_j
    assert andrulis(bits, rate, node * 1.05).energy_j > base.energy_j


@pytest.mark.parametrize("bits", range(4, 11))
def test_isaacs_rule_predicts_the_listed_converters(bits):
    # fitted to 8, 9 and 10 bits; 4 to 7 bits are predictions (the source prints them to two or three digits)
    entry = listed(Library.load("isaac-32nm").adc.bits[bits], 1.2e9)
    rule = isaac_rule(bits, EIGHT)
    assert rule.energy_j == pytest.approx(entry.energy_j, rel=6e-3)
    assert rule.area_m2 == pytest.approx(entry.area_m2, rel=1e-3)
    assert not rule.notes


def test_isaacs_rule_flags_and_refuses():
    assert "extrapolated to 3 bits" in isaac_rule(3, EIGHT).notes[0]
    assert "extrapolated to 11 bits" in isaac_rule(11, EIGHT).notes[0]
    with pytest.raises(UserError, match="bits from 1 to 12, not 13"):
        isaac_rule(13, EIGHT)
    eight = isaac_rule(8, EIGHT)
    assert (eight.energy_j, eight.area_m2) == pytest.approx((EIGHT.energy_j, EIGHT.area_m2))


def test_an_unknown_model_gets_the_nearest_name():
    library = Library.load("isaac-32nm")
    assert checked_model(library, None) == "table"
    with pytest.raises(UserError, match=r"^Unknown converter model 'andruls'\. Did you mean 'andrulis'\?$"):
        checked_model(library, "andruls")
