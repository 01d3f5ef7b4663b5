"""Heat maps against pandas' pivot tables, and colours that can be read."""

import numpy as np
import pytest

from experiments.reporting import heat
from experiments.reporting.point_table import factors, measures


def test_fields_are_the_pivot_table(sweep_tables):
    points = sweep_tables.recorded()
    found = heat.scales(factors(points))
    assert [scale.name for scale in found] == ["crossbar.rows, crossbar.cols", "device.levels", "crossbar.adc_bits"]
    results = [measure for measure in measures(points) if measure.column in ("accuracy_crossbar_mean", "area_mm2")]
    pairs = heat.maps(found, results, points)
    assert [(pair["rows"], pair["cols"]) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    for column, scale, best in (("accuracy_crossbar_mean", 100, "max"), ("area_mm2", 1, "min")):
        for how, name in (("mean", "mean"), (best, "best")):
            expected = points.pivot_table(
                index="device.levels", columns="crossbar.adc_bits", values=column, aggfunc=how
            )
            assert np.array(pairs[2]["values"][column][name]) == pytest.approx(scale * expected.to_numpy(), rel=1e-5)
    assert (np.array(pairs[2]["values"]["area_mm2"]["n"]) == 5).all()


def test_gaps_many_values_words_and_one_key(sweep_tables):
    keys = {"x": np.linspace(0, 1, 40), "device.preset": np.array(["hfox", "ideal"] * 20, dtype=object)}
    rows = [{"area_mm2": float(n)} for n in range(40)]
    rows[3] = {"status": "failed", "message": "no"}
    points = sweep_tables.table(keys, rows)
    ranges, words = heat.scales(factors(points))
    assert len(ranges.labels) == heat.BINS
    assert ranges.labels[0].startswith("0 … ")
    assert words.labels == ["hfox", "ideal"]
    counts = np.array(heat.maps([ranges, words], measures(points), points)[0]["values"]["area_mm2"]["n"])
    assert counts.sum() == 39  # the failed point counts nowhere
    alone = heat.maps([words], measures(points), points)
    assert alone[0]["rows"] is None
    assert len(alone[0]["values"]["area_mm2"]["mean"]) == 1
    assert heat.maps([], measures(points), points) == []
    many = sweep_tables.table({"run": np.array([f"r{n}" for n in range(40)], dtype=object)}, rows)
    assert heat.scales(factors(many)) == []


def test_words_that_are_numbers_stand_in_their_order(sweep_tables):
    points = sweep_tables.table(
        {"crossbar.adc_bits": np.array(["10", "ideal", "8"], dtype=object)}, [{"area_mm2": 1.0}] * 3
    )
    assert heat.scales(factors(points))[0].labels == ["8", "10", "ideal"]


def test_every_field_can_be_read():
    colours = heat.palette()
    for share in np.linspace(0, 1, 101):
        ground, ink = heat.shade(share, colours)
        rgb = [int(part) for part in ground[4:-1].split(",")]
        light, dark = sorted([heat.luminance(rgb), 1.0 if ink == "#fff" else 0.0], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5
    # cividis rises in luminance all the way: its order is seen without its hues
    brightness = [heat.luminance(colour) for colour in colours]
    assert brightness == sorted(brightness)


def test_a_thousand_points_have_few_fields(sweep_tables):
    points = sweep_tables.costs(1000)
    pairs = heat.maps(heat.scales(factors(points)), measures(points), points)
    assert len(pairs) == 3
    assert all(np.array(pair["values"]["area_mm2"]["n"]).sum() == 1000 for pair in pairs)
