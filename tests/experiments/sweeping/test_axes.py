import math
import tomllib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config import Config
from experiments.sweeping.axes import all_keys, looked_up, overlaid, parse
from experiments.sweeping.columns import BOOKKEEPING, RESULTS
from hwmodels.errors import UserError


def axes(text):
    return parse(tomllib.loads(text)["sweep"], "f.toml")[1]


def values(text):
    (axis,) = axes(f"[sweep]\n{text}")
    return [row[0] for row in axis.values]


def test_lists_ranges_and_spacings():
    assert values('"crossbar.rows" = [16, 32]') == [16, 32]
    assert values('"device.levels" = { range = [4, 64, 4] }') == list(range(4, 65, 4))
    assert values('"device.levels" = { range = [4, 10, 4] }') == [4, 8]
    assert values('"device.mismatch" = { range = [0.0, 0.3, 0.1] }') == [0.0, 0.1, 0.2, 0.3]
    assert values('"crossbar.rows" = { log = [16, 256, 5] }') == [16, 32, 64, 128, 256]
    assert values('"compress.lr" = { log = [1e-3, 1e-1, 3] }') == [1e-3, 1e-2, 1e-1]
    assert values('"device.mismatch" = { linear = [0.0, 1.0, 5] }') == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert values('"crossbar.adc_bits" = [6, "ideal"]') == [6, "ideal"]


def test_keys_may_stand_without_quotes_and_as_tables():
    assert axes("[sweep]\ncrossbar.rows = [16]")[0].keys == ("crossbar.rows",)
    assert axes("[sweep.crossbar]\nrows = [16]\ncols = { log = [16, 64, 3] }")[1].keys == ("crossbar.cols",)


def test_linked_keys_are_one_axis():
    (axis,) = axes('[sweep]\n"crossbar.rows, crossbar.cols" = [[32, 64], 128]')
    assert axis.keys == ("crossbar.rows", "crossbar.cols")
    assert axis.values == ((32, 64), (128, 128))


@given(first=st.integers(-50, 50), steps=st.integers(1, 40), step=st.integers(1, 9), beyond=st.floats(0, 0.9))
def test_a_range_has_every_step_up_to_its_last_number(first, steps, step, beyond):
    found = values(f'"seed" = {{ range = [{first / 10}, {(first + step * (steps + beyond)) / 10}, {step / 10}] }}')
    assert found == pytest.approx([(first + step * n) / 10 for n in range(steps + 1)])


@given(low=st.floats(1e-6, 1.0), ratio=st.floats(1.5, 1e6), count=st.integers(2, 20))
def test_a_log_range_is_even_in_the_logarithm(low, ratio, count):
    found = values(f'"train.lr" = {{ log = [{low}, {low * ratio}, {count}] }}')
    steps = [math.log(b / a) for a, b in pairwise(found)]
    assert len(found) == count
    assert steps == pytest.approx([math.log(ratio) / (count - 1)] * (count - 1), rel=1e-6)


@given(share=st.floats(0, 1, exclude_max=True), low=st.integers(1, 20), more=st.integers(1, 50))
def test_distributions_stay_within_their_ends(share, low, more):
    head = '[sweep]\nmethod = "random"\npoints = 1\n"crossbar.rows" = '
    for form in ("uniform", "loguniform"):
        (whole,) = axes(f"{head}{{ {form} = [{low}, {low + more}] }}")
        (real,) = axes(f"{head}{{ {form} = [{low}.0, {low + more}.0] }}")
        assert whole.at(share)[0] in range(low, low + more + 1)
        assert low <= real.at(share)[0] <= (low + more) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no key to sweep"),
        ('"crossbar.rows" = []', "is empty"),
        ('"crossbar.rws" = [1]', "no key 'crossbar.rws'. Did you mean 'crossbar.rows'"),
        ('"rows" = [1]', "no key 'rows'. Did you mean 'crossbar.rows'"),
        ('"crossbar" = [1]', "is a section"),
        ('"compress.prune.fc1" = [1]', "is a section"),
        ('"compress.prune.filter" = [1]', "is a section"),
        ('"crossbar.rows.x" = [1]', "no key 'crossbar.rows.x'"),
        ('"report.title" = ["a"]', "changes what reports look like"),
        ('"crossbar.rows" = 16', "give a list"),
        ('"crossbar.rows" = [16, 16]', "has the value 16 twice"),
        ('"crossbar.rows" = { rnge = [1, 2, 3] }', "no key 'crossbar.rows.rnge'"),
        ('"crossbar.rows" = { range = [1, 2] }', "takes 3 numbers"),
        ('"crossbar.rows" = { range = [4, 2, 1] }', "from a lower to a higher"),
        ('"crossbar.rows" = { range = [1, 4, 0] }', "step of a range is above 0"),
        ('"crossbar.rows" = { log = [0, 4, 3] }', "above 0"),
        ('"crossbar.rows" = { log = [1, 4, 1.5] }', "whole number of values"),
        ('"crossbar.rows" = { uniform = [1, 4] }', "a grid needs values"),
        ('"crossbar.rows, crossbar.cols" = [[1, 2, 3]]', "3 values for 2 keys"),
        ('"crossbar.rows, crossbar.cols" = [1]\n"crossbar.rows" = [2]', "sets 'crossbar.rows' twice"),
        ('"crossbar.rows" = [1]\nmethod = "gird"', "method = 'gird'"),
        ('"crossbar.rows" = [1]\npoints = 3', "a grid has all its points"),
        ('"crossbar.rows" = [1]\nmethod = "random"', "needs points"),
        (
            '"crossbar.rows" = { range = [1, 2000, 1] }\n"crossbar.cols" = { range = [1, 2000, 1] }',
            "has 4000000 points",
        ),
    ],
)
def test_mistakes_name_the_key_and_the_way_out(text, message):
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        axes(f"[sweep]\n{text}")


def test_keys_are_laid_over_a_configuration():
    base = {"seed": 1, "crossbar": {"rows": 8}}
    changes = {"crossbar.rows": 16, "compress.prune.features.0.filter": 3, "hardware.replicas.layer1.0": 2}
    made = overlaid(base, changes)
    assert made["compress"] == {"prune": {"features.0": {"filter": 3}}}
    assert made["hardware"] == {"replicas": {"layer1.0": 2}}
    assert {key: looked_up(made, key) for key in changes} == changes
    assert base == {"seed": 1, "crossbar": {"rows": 8}}


def test_no_result_has_the_name_of_a_key():
    assert not set(all_keys()) & {*RESULTS, *BOOKKEEPING, "point"}
    assert not [name for name in (*RESULTS, *BOOKKEEPING) if "." in name]
    assert set(Config.__dataclass_fields__) - {"seed"} <= {key.split(".")[0] for key in all_keys()}
