"""The pruning keys of a configuration and the sets that they make."""

import pytest

from admm.constraints import (
    NM,
    ArrayColumn,
    ArrayRow,
    Block,
    Channel,
    Column,
    ColumnBalanced,
    Filter,
    GlobalBudget,
    Kernel,
    Pattern,
    Polarised,
    Unstructured,
)
from experiments.config import Budget, Compress, Config, Crossbar, Prune
from experiments.setup import array_spec, compression_plan, constraints

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


def test_shared_budgets_and_the_ranking_reach_the_plan():
    section = Compress(budget={"fc*": Budget(kind="array_row", keep=9, floor=2)}, rank="gain", quantise=False)
    plan = compression_plan(Config(compress=section), ARRAY)
    assert plan.budgets == (GlobalBudget(layers=("fc*",), of=ArrayRow(32, 9), floor=2),)
    assert plan.layers == ()
    plan = compression_plan(Config(compress=Compress(rank="gain")), ARRAY)
    assert all(layer.joint for layer in plan.layers)
