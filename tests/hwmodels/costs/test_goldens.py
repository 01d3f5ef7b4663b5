"""Published totals recomputed, and the results pages in docs/results as the code makes them now."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from hwmodels import Library

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def script(name):
    spec = importlib.util.spec_from_file_location(name, RESULTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages():
    return script("hardware")


@pytest.fixture(scope="module")
def chips():
    return script("hardware_yuan2019")


def test_published_figures(pages):
    frame = pages.goldens().set_index("what")["difference_percent"]
    exact = [what for what in frame.index if what.startswith(("ISAAC", "Andrulis", "Stillmaker", "converter"))]
    exact += ["FORMS 12 cores, power", "FORMS tile, power", "FORMS chip, power"]
    assert (frame[exact].abs() <= 0.3).all()
    # where a paper's own rows do not add up to its printed total, the difference is shown, not fitted away
    assert frame["FORMS tile, area, as the sum of its own two printed parts"] == pytest.approx(3.08, abs=0.01)
    assert frame["PUMA tile, power (its own rows add up to 377.94)"] == pytest.approx(2.3, abs=0.1)
    assert frame[[what for what in frame.index if what.startswith("PUMA")]].abs().max() < 2.5


def test_the_two_fitted_numbers_of_yuan2019(chips):
    area, power = chips.fitted()
    control = Library.load("yuan2019-45nm").control
    assert control is not None
    assert control.area.value == pytest.approx(area, rel=1e-5)
    assert control.power.value == pytest.approx(power, rel=1e-5)
    # the stated range is what each of the seven rows alone would give
    alone = [chips.fitted(row) for row in range(len(chips.PUBLISHED))]
    for number, found in zip((control.area, control.power), zip(*alone, strict=True), strict=True):
        assert (number.low, number.high) == pytest.approx((min(found), max(found)), rel=2e-3)
    frame = chips.yuan()
    assert (frame["role"] == "fitted").sum() == 1
    assert frame.loc[0, "area_mm2"] == frame.loc[0, "area_mm2_published"]
    predicted = frame[frame["role"] == "predicted"]
    assert len(predicted) == 6
    assert predicted["area_residual_percent"].abs().max() < 10
    assert predicted["power_residual_percent"].abs().max() < 10


def test_the_structures_count_arrays_as_the_tile_tables_do(chips):
    for _, shapes, compression, _, _ in chips.PUBLISHED:
        placed = chips.pruned(shapes, compression)["array"].nunique()
        assert chips.arrays_of(chips.matrices(shapes, compression), side_by_side=True) == placed
        apart = chips.arrays_of(chips.matrices(shapes, compression), side_by_side=False)
        assert apart >= placed > chips.ideal(shapes, compression)


@pytest.mark.parametrize("name", ["yuan2019", "yuan2019-structures", "vgg8", "goldens"])
def test_the_results_pages_are_what_the_code_makes(pages, chips, name):
    made = {
        "yuan2019": chips.yuan,
        "yuan2019-structures": chips.structures,
        "vgg8": pages.vgg8,
        "goldens": pages.goldens,
    }[name]()
    stored = pd.read_csv(RESULTS / f"hardware-{name}.csv")
    assert list(stored.columns) == list(made.columns)
    for column in made:
        if made[column].dtype.kind in "if":
            assert stored[column].to_numpy() == pytest.approx(made[column].to_numpy(), rel=1e-3), column
        else:
            assert stored[column].fillna("").tolist() == made[column].tolist(), column
