import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.sweeping.statistics import Rules, constraint, spread
from hwmodels.errors import UserError

accuracies = st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=2, max_size=30)


@given(accuracies)
def test_the_interval_is_students(values):
    found = spread(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values) or 1e-300)
    assert found["accuracy_crossbar_low"] == pytest.approx(max(low, 0), abs=1e-12)
    assert found["accuracy_crossbar_high"] == pytest.approx(min(high, 1), abs=1e-12)


@given(accuracies, st.floats(0.01, 0.5))
def test_more_chips_than_needed_change_nothing(values, width):
    rules = Rules(seeds=2, interval=width, max_seeds=20)
    count = rules.enough(values)
    if count is None:
        assert len(values) < 20
        return
    found = spread(values[:count])
    assert count == 20 or found["accuracy_crossbar_high"] - found["accuracy_crossbar_low"] <= width
    assert all(rules.enough(values[:n]) == (count if n >= count else None) for n in range(len(values) + 1))


def test_without_an_interval_there_are_as_many_chips_as_seeds():
    assert Rules(seeds=3).enough([0.5, 0.6]) is None
    assert Rules(seeds=3).enough([0.5, 0.6, 0.7, 0.8]) == 3


def test_hopeless_points_are_given_up_early():
    rules = Rules(seeds=50, constraints=(constraint("accuracy_crossbar_mean >= 0.9"),))
    assert rules.enough([0.30, 0.31, 0.30]) == 3
    assert rules.enough([0.89, 0.91, 0.90]) is None


def test_constraints_are_read_and_held():
    item = constraint(" area_mm2<=2.5e-1 ")
    assert (item.column, item.above, item.limit) == ("area_mm2", False, 0.25)
    rules = Rules(seeds=1, constraints=(item, constraint("accuracy_crossbar_mean >= 0.5")))
    assert rules.broken({"area_mm2": 0.3}, simulated=False) == "area_mm2 = 0.3 breaks area_mm2 <= 0.25"
    assert rules.broken({"area_mm2": 0.2}, simulated=False) is None
    assert rules.broken({"area_mm2": 0.2, "accuracy_crossbar_mean": 0.4}, simulated=True).startswith("accuracy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("area_mm2 = 3", "is not"),
        ("area_mm2 <= x", "is not"),
        ("area_mm <= 3", "Did you mean 'area_mm2'"),
        ("area_mm2 <= 1e", "is not"),
    ],
)
def test_other_constraints_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        constraint(text)
