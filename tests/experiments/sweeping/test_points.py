import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config import Config
from experiments.sweeping.axes import Axis, Settings, parse
from experiments.sweeping.points import chosen, configured
from hwmodels.errors import UserError


def test_a_grid_has_every_combination_once_the_last_key_fastest():
    settings, axes = parse({"crossbar.rows": [16, 32], "crossbar.adc_bits": [4, 5, 6]}, "f")
    points = chosen(settings, axes)
    assert [point.number for point in points] == list(range(6))
    found = [tuple(point.swept.values()) for point in points]
    assert found == [(16, 4), (16, 5), (16, 6), (32, 4), (32, 5), (32, 6)]


@given(count=st.integers(2, 40), seed=st.integers(0, 9))
def test_a_latin_hypercube_has_one_point_in_every_slice_of_every_axis(count, seed):
    axes = (Axis(("device.mismatch",), None, 0.0, 1.0), Axis(("train.lr",), None, 1e-3, 1.0, log=True))
    settings = Settings(method="latin-hypercube", points=count, sampling_seed=seed)
    points = chosen(settings, axes)
    linear = np.array([point.swept["device.mismatch"] for point in points])
    even = np.array([np.log(point.swept["train.lr"] / 1e-3) / np.log(1e3) for point in points])
    for shares in (linear, even):
        assert sorted(np.floor(shares * count).astype(int)) == list(range(count))


def test_random_points_are_the_same_each_time_and_never_twice():
    settings, axes = parse(
        {"method": "random", "points": 50, "crossbar.adc_bits": [4, 5, 6], "device.levels": {"uniform": [2, 4]}}, "f"
    )
    points = chosen(settings, axes)
    assert points == chosen(settings, axes)
    found = {tuple(point.swept.values()) for point in points}
    assert len(found) == len(points) <= 9
    assert {levels for _, levels in found} <= {2, 3, 4}


def test_linked_keys_move_together_in_every_method():
    for method in ("random", "latin-hypercube"):
        section = {"method": method, "points": 20, "crossbar.rows, crossbar.cols": {"uniform": [8, 64]}}
        for point in chosen(*parse(section, "f")):
            assert point.swept["crossbar.rows"] == point.swept["crossbar.cols"]


def test_a_point_becomes_a_configuration():
    settings, axes = parse({"crossbar.rows": [16], "compress.prune.fc1.filter": [0.5]}, "f")
    (point,) = chosen(settings, axes)
    config = configured(Config().resolved(), point)
    assert config.crossbar.rows == 16
    assert config.compress.prune["fc1"].filter == 0.5


def test_a_value_that_a_key_cannot_take_is_named_with_its_point():
    settings, axes = parse({"crossbar.rows": [0]}, "f")
    with pytest.raises(UserError, match=r"crossbar\.rows = 0"):
        configured(Config().resolved(), chosen(settings, axes)[0])
