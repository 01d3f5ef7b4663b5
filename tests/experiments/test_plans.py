"""The pruning keys of a configuration and the sets that they make."""

import pytest

from admm import LayerLevels
from admm.constraints import (
    NM,
    ArrayColumn,
    ArrayRow,
    Binary,
    Block,
    Channel,
    Cluster,
    Column,
    ColumnBalanced,
    Filter,
    GlobalBudget,
    Kernel,
    Levels,
    Pattern,
    Polarised,
    PowerOfTwo,
    Ternary,
    Uniform,
    Unstructured,
)
from experiments.config import Budget, Compress, Config, Crossbar, DeviceSection, LevelSet, Prune
from experiments.plans import compression_plan, constraints, level_set
from experiments.setup import array_spec
from hwmodels.errors import UserError

ARRAY = array_spec(Config(crossbar=Crossbar(rows=64, cols=32)))


@pytest.mark.parametrize(
    ("keys", "made"),
    [
        ({"kernel": 0.5}, Kernel(0.5)),
        ({"array_row": 3}, ArrayRow(32, 3)),
        ({"array_column": 0.25}, ArrayColumn(64, 0.25)),
        ({"block": 2}, Block(64, 32, 2)),
        ({"n_m": "2:4"}, NM(2, 4, "channels")),
        ({"n_m": "1:16", "n_m_axis": "rows"}, NM(1, 16, "rows")),
        ({"balanced": 16}, ColumnBalanced(64, 16)),
        ({"pattern": 8}, Pattern(4, 8)),
        ({"pattern": 6, "pattern_entries": 3}, Pattern(3, 6)),
        ({"polarised": 8}, Polarised(8, "W", 1)),
        ({"polarised": 8, "polarised_order": "C", "polarised_refresh": 3}, Polarised(8, "C", 3)),
    ],
)
def test_a_key_makes_its_set(keys, made):
    assert constraints(Prune(**keys), ARRAY) == (made,)


def test_every_key_has_a_set_and_its_place():
    every = Prune(
        filter=1, channel=2, column=3, block=4, kernel=5, array_row=6, array_column=7, unstructured=8,
        n_m="1:2", balanced=9, pattern=1, polarised=2,
    )  # fmt: skip
    assert [type(c) for c in constraints(every, ARRAY)] == [
        Block, Filter, Channel, Column, Kernel, ArrayRow, ArrayColumn, Unstructured,
        NM, ColumnBalanced, Pattern, Polarised,
    ]  # fmt: skip


LINEAR = array_spec(Config(device=DeviceSection(preset="hfox")))  # multiples of 1/15


@pytest.mark.parametrize(
    ("keys", "made"),
    [
        ({"kind": "binary"}, Binary()),
        ({"kind": "binary", "per": "channel"}, Binary(per="channel")),
        ({"kind": "ternary", "scale": 0.5}, Ternary(scale=0.5)),
        ({"kind": "uniform", "bits": 3}, Uniform(3)),
        ({"kind": "uniform", "bits": 3, "zero": True}, Uniform(3, zero=True)),
        ({"kind": "power_of_two", "exponents": 4}, PowerOfTwo(4)),
        ({"kind": "power_of_two", "exponents": 3, "zero": True, "shift": False}, PowerOfTwo(3, True, shift=False)),
        ({"kind": "levels", "count": 10}, Levels(tuple(k / 15 for k in range(-15, 16, 3) if k), "fit")),
        ({"kind": "free"}, None),
    ],
)
def test_a_level_set_of_every_kind(keys, made):
    found = level_set(LevelSet(**keys), LINEAR, Compress(), "fc1")
    if isinstance(made, Levels):
        assert isinstance(found, Levels)
        assert found.values == pytest.approx(made.values)
    else:
        assert found == made


def test_clusters_and_levels_that_the_cells_lack_need_leave_to_snap():
    for keys, message in (
        ({"kind": "cluster", "count": 8}, r"levels\.fc1: kind = 'cluster' learns levels .* compress\.snap = true"),
        ({"kind": "uniform", "bits": 2}, r"levels\.fc1: the 4 levels of kind = 'uniform' .* 32 of the array .*±0\.1"),
    ):
        with pytest.raises(UserError, match=message):
            level_set(LevelSet(**keys), ARRAY, Compress(), "fc1")
    assert level_set(LevelSet(kind="cluster", count=8), ARRAY, Compress(snap=True)) == Cluster(8)
    assert level_set(LevelSet(kind="uniform", bits=2), ARRAY, Compress(snap=True)) == Uniform(2)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kind": "binary", "bits": 3}, r"levels\.fc1\.bits is no key of kind = 'binary'; that takes: scale, per"),
        ({"count": 3}, r"levels\.fc1\.count is no key of kind = 'array'"),
        ({"kind": "uniform"}, r"levels\.fc1: kind = 'uniform' needs bits"),
        ({"kind": "uniform", "bits": 1, "zero": True}, r"\[compress\.levels\.fc1\] uniform levels with a zero need"),
        ({"kind": "binary", "per": "channel", "scale": 0.5}, r'\[compress\.levels\.fc1\] per = "channel" fits'),
        ({"kind": "levels", "count": 99}, r"\[compress\.levels\.fc1\] count = 99"),
        ({"kind": "cluster", "count": 999}, r"\[compress\.levels\.fc1\] .*less than or equal to 256"),
    ],
)
def test_level_sets_that_say_too_much_or_too_little_are_refused(keys, message):
    with pytest.raises(UserError, match=message):
        level_set(LevelSet(**keys), ARRAY, Compress(), "fc1")
    with pytest.raises(UserError, match=r"compress\.quantise = false"):
        level_set(LevelSet(), ARRAY, Compress(quantise=False), "fc1")


def test_bits_by_layer_reach_the_plan():
    section = Compress(
        levels={"conv*": LevelSet(kind="uniform", bits=3), "fc1": LevelSet(kind="uniform", bits=2)},
    )
    plan = compression_plan(Config(compress=section, device=DeviceSection(preset="hfox")), LINEAR)
    assert plan.levels == (LayerLevels(name="conv*", levels=Uniform(3)), LayerLevels(name="fc1", levels=Uniform(2)))


def test_shared_budgets_and_the_ranking_reach_the_plan():
    section = Compress(budget={"fc*": Budget(kind="array_row", keep=9, floor=2)}, rank="gain", quantise=False)
    plan = compression_plan(Config(compress=section), ARRAY)
    assert plan.budgets == (GlobalBudget(layers=("fc*",), of=ArrayRow(32, 9), floor=2),)
    assert plan.layers == ()
    plan = compression_plan(Config(compress=Compress(rank="gain")), ARRAY)
    assert all(layer.joint for layer in plan.layers)


def test_schedules_and_solvers_reach_the_plan():
    section = Compress(
        order="sequential", solver="slr", slr_step=0.1, steps=2, step_ratio=3.0, stop=0.01, quantise_steps=2,
        accumulate=2, precision="bfloat16", distill=0.5, distill_temperature=4.0,
    )  # fmt: skip
    schedule = compression_plan(Config(compress=section), ARRAY).schedule
    for key in ("solver", "slr_step", "steps", "step_ratio", "stop", "quantise_steps", "accumulate", "precision"):
        assert getattr(schedule, key) == getattr(section, key)
    assert (schedule.distill, schedule.distill_temperature) == (0.5, 4.0)
    assert compression_plan(Config(compress=Compress(order="quantise-first")), ARRAY).order == "quantise-first"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"slr_m": 2.0}, r'slr_m is a setting of solver="slr"'),
        ({"rho_threshold": 5.0}, r'rho_threshold needs rho_rule="balance"'),
        ({"step_ratio": 2.0}, "step_ratio needs steps of at least 2"),
        ({"distill_temperature": 2.0}, "distill_temperature needs distill above 0"),
        ({"solver": "slr", "rho_rule": "balance"}, r'with "slr" take "grow"'),
        ({"quantise_steps": 2}, r'quantise_steps = 2 needs order="sequential"'),
    ],
)
def test_settings_that_would_do_nothing_are_refused(keys, message):
    with pytest.raises(UserError, match=message):
        compression_plan(Config(compress=Compress(**keys)), ARRAY)
