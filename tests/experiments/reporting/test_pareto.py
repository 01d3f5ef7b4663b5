"""The Pareto front against its definition, point by point."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.reporting.pareto import front

values = st.one_of(st.integers(-3, 3).map(float), st.just(np.nan))
points = st.lists(st.tuples(values, values), max_size=20)


def by_definition(x, y, x_up, y_up):
    """No other point is at least as good in both and better in one."""
    cost = np.stack([-x if x_up else x, -y if y_up else y], axis=1)
    on = []
    for mine in cost:
        beaten = any((other <= mine).all() and (other < mine).any() for other in cost if not np.isnan(other).any())
        on.append(not np.isnan(mine).any() and not beaten)
    return on


@settings(deadline=None, max_examples=100)
@given(points, st.booleans(), st.booleans())
def test_front_is_what_the_definition_says(points, x_up, y_up):
    x, y = (np.array([point[axis] for point in points], dtype=float) for axis in (0, 1))
    assert front(x, y, x_up=x_up, y_up=y_up).tolist() == by_definition(x, y, x_up, y_up)
