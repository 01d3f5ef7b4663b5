"""Targets as people write them."""

import pytest

from experiments.targeting.targets import Target, of_keys, parse
from hwmodels.errors import UserError


@pytest.mark.parametrize(
    ("kind", "text", "limit"),
    [
        ("area", "0.05mm2", 0.05),
        ("area", "50000 um2", 0.05),
        ("area", "1e-2 mm²", 0.01),
        ("power", "10mW", 10.0),
        ("power", "1.5W", 1500.0),
        ("power", "20 µW", 0.02),
        ("energy", "2uJ", 2000.0),
        ("energy", "60nJ", 60.0),
        ("energy", "500pJ", 0.5),
        ("arrays", "40", 40.0),
        ("arrays", 40, 40.0),
        ("reduction", 10, 10.0),
        ("reduction", "12.5x", 12.5),
    ],
)
def test_a_quantity_comes_in_the_unit_of_the_total(kind, text, limit):
    found = parse(kind, text, "--target")
    assert found.kind == kind
    assert found.limit == pytest.approx(limit, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("area", "0.05", r"'0\.05' has no unit; its unit is one of mm2, .*Write for example 0\.05mm2"),
        ("area", "5mW", r"has the unit 'mW'; its unit is one of mm2"),
        ("power", "10mJ", r"has the unit 'mJ'; its unit is one of W"),
        ("power", "10MW", r"has the unit 'MW'"),
        ("arrays", "40mm2", r"its unit is none, it is a number"),
        ("arrays", "1.5", "arrays are whole"),
        ("arrays", "0", "must be above 0"),
        ("area", "-1mm2", "is no quantity"),
        ("area", "1.2.3mm2", "is no quantity"),
        ("area", "small", "is no quantity"),
        ("energy", "1e999nJ", "must be above 0"),
        ("reduction", "0.5", "at least 1"),
        ("aera", "1mm2", "Did you mean 'area'"),
    ],
)
def test_a_mistake_says_what_to_write(kind, text, message):
    with pytest.raises(UserError, match=message):
        parse(kind, text, "--target")


def test_keys_need_one_another():
    assert of_keys(None, None, None) is None
    assert of_keys("area", "1mm2", None) == Target(kind="area", limit=1.0)
    assert of_keys("area", None, 0.9) == Target(kind="area", limit=None)
    with pytest.raises(UserError, match=r"compress\.limit needs compress\.target"):
        of_keys(None, 3, None)
    with pytest.raises(UserError, match=r"compress\.accuracy_floor needs compress\.target"):
        of_keys(None, None, 0.9)
    with pytest.raises(UserError, match=r"compress\.target = 'power' needs compress\.limit \(such as '10mW'\)"):
        of_keys("power", None, None)
