import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mapping
from hwmodels import estimate
from hwmodels.errors import UserError
from mapping.replication import Stage, balance, replicate


def _stage(vectors, each, cost):
    return Stage(("layer",), cost, (vectors,), lambda copies: each * -(-vectors // copies))


stages = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4)), min_size=1, max_size=3)


@settings(deadline=None, max_examples=80)
@given(stages, st.integers(0, 14))
def test_the_greedy_choice_is_the_best_of_all(numbers, extra):
    made = [_stage(*item) for item in numbers]
    budget = sum(stage.cost for stage in made) + extra
    copies = balance(made, budget)

    def slowest(counts):
        return max(stage.time(count) for stage, count in zip(made, counts, strict=True))

    assert sum(stage.cost * count for stage, count in zip(made, copies, strict=True)) <= budget
    every = itertools.product(*(range(1, stage.vectors[0] + 1) for stage in made))
    fitting = (c for c in every if sum(stage.cost * n for stage, n in zip(made, c, strict=True)) <= budget)
    assert slowest(copies) == min(map(slowest, fitting))


@pytest.fixture
def placement(spec):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 10)
    )
    return mapping.place(net, spec.with_(rows=40, cols=16), torch.rand(4, 1, 12, 12))


@pytest.mark.parametrize("times", [1.0, 2.0, 6.0])
def test_copies_speed_the_pipeline_up_within_their_area(placement, times):
    before = estimate(placement.tiles, "isaac-32nm").totals
    found = replicate(placement, "isaac-32nm", before["area_mm2"] * times)
    after = estimate(placement.tiles, "isaac-32nm", replicas=found.replicas).totals
    assert found.area_mm2[1] == after["area_mm2"] <= before["area_mm2"] * times * (1 + 1e-9)
    assert found.interval_us == pytest.approx((1e6 / before["full_rate_hz"], 1e6 / after["full_rate_hz"]))
    assert found.interval_us[1] == pytest.approx(found.table["stage_us"].max())
    if times == 1:
        assert set(found.replicas.values()) == {1}
    else:
        assert found.replicas["0"] > found.replicas["5"] == 1
        assert found.interval_us[1] < found.interval_us[0]


def test_layers_that_share_arrays_are_copied_together(placement):
    shared = mapping.place(placement.network, placement.array, torch.rand(4, 1, 12, 12), share="network")
    found = replicate(shared, "isaac-32nm", 10 * estimate(shared.tiles, "isaac-32nm").totals["area_mm2"])
    pairs = shared.tiles.groupby("array")["layer"].unique()
    assert any(len(names) > 1 for names in pairs)
    assert all(len({found.replicas[name] for name in names}) == 1 for names in pairs)


def test_too_small_an_area_says_what_is_needed(placement):
    with pytest.raises(UserError, match=r"^An area of 1e-06 mm² is less than one copy of every layer takes, 0\.0"):
        replicate(placement, "isaac-32nm", 1e-6)
