import itertools

import pytest

from hwmodels import Library, UserError
from hwmodels.costs.adc_cost import published
from hwmodels.costs.scaling import DIGITAL, area_factor, at_node, node_scaling


def test_the_papers_example():
    scaling = node_scaling(45, 16, 1.0, 0.8)
    assert (scaling.energy, scaling.delay, scaling.area) == pytest.approx((0.140, 0.538, 0.19), rel=3e-3)


def test_the_printed_table_of_areas():
    assert area_factor(32, 45) == pytest.approx(2.2)
    assert area_factor(180, 7) == pytest.approx(0.0032)
    assert 0.13 < area_factor(32, 8) < 0.22  # between the columns of 7 and 10 nm
    assert area_factor(32, 32) == 1.0


def test_the_table_contradicts_itself_by_its_rounding_only():
    nodes = published("scaling")["area"]["nodes_nm"]
    for one, other in itertools.combinations(nodes, 2):
        assert area_factor(one, other) * area_factor(other, one) == pytest.approx(1.0, rel=0.07), (one, other)
        assert area_factor(one, other) < 1.0


@pytest.mark.parametrize("flavour", ["hp", "lp"])
def test_energy_falls_with_the_node_at_the_usual_supplies(flavour):
    nodes = [node for node in published("scaling")["area"]["nodes_nm"] if node <= 130]
    factors = [node_scaling(130, node, flavour=flavour).energy for node in nodes]
    assert factors == sorted(factors, reverse=True)
    assert node_scaling(32, 32, flavour=flavour).energy == 1.0


def test_unlisted_nodes_are_flagged_or_refused():
    assert node_scaling(32, 22).notes == ("Energy and delay at 22 nm are taken from the 20 nm polynomials",)
    assert node_scaling(45, 32).notes == ()
    with pytest.raises(UserError, match="55 nm is near none"):
        node_scaling(32, 55)
    for node in (5, 250):
        with pytest.raises(UserError, match=f"from 7 to 180 nm, not {node} nm"):
            node_scaling(32, node)
    with pytest.raises(UserError, match=r"far from the 0\.9 V of 32 nm"):
        node_scaling(45, 32, to_v=3.0)
    with pytest.raises(UserError, match="flavour is 'hp' or 'lp'"):
        node_scaling(45, 32, flavour="fast")


def test_only_digital_parts_move():
    library = Library.load("isaac-32nm")
    moved = at_node(library, 16)
    for name in ("cell", "dac", "adc", "sample_hold", "reading"):
        assert getattr(moved, name) == getattr(library, name), name
    scaling = node_scaling(32, 16)
    for name in DIGITAL:
        before, after = getattr(library, name), getattr(moved, name)
        if before is None:
            assert after is None
            continue
        assert after.area.value == pytest.approx(before.area.value * scaling.area)
        assert after.energy.value == pytest.approx(before.energy.value * scaling.energy)
        assert after.area.node_nm == 16
        assert "scaled from 32 nm" in after.area.source
    assert moved.buffer.energy.low == pytest.approx(library.buffer.energy.low * scaling.energy)
    assert any("not scaled" in note for note in moved.notes)
    assert at_node(library, 32).buffer == library.buffer
