import itertools

import pytest

from hwmodels import Library, Matrix, UserError, dense_tiles, estimate, prepare, spec_files

TILES = dense_tiles([Matrix(name="conv", rows=200, cols=150, reads_per_inference=100)], g_mean_s=5e-6)


def ranged(value, unit, low=None, high=None):
    ends = {name: end for name, end in (("low", low), ("high", high)) if end is not None}
    return {"value": value, "unit": unit, "source": "a test", **ends}


def library(adc_power, rate, time, router):
    content = {
        "name": "ranged",
        "reading": {"voltage": ranged(0.2, "V"), "time": time},
        "cell": {"area": ranged(0.01, "um2")},
        "dac": {"rate": ranged(10.0, "MS/s"), "bits": {1: {"area": ranged(1.0, "um2"), "power": ranged(4.0, "uW")}}},
        "adc": {"rate": rate, "bits": {8: {"area": ranged(1200.0, "um2", 1000.0), "power": adc_power}}},
        "router": {
            "area": ranged(10.0, "um2", 5.0, 50.0),
            "power": ranged(1.0, "mW"),
            "energy": ranged(0.1, "pJ/bit"),
            "serves": router,
        },
    }
    return spec_files.validated(Library, content, "ranged")


NUMBERS = (
    ranged(2.0, "mW", 1.0, 5.0),
    ranged(1.0, "GS/s", 0.5, 1.28),
    ranged(100.0, "ns", 50.0, 200.0),
    ranged(4.0, "arrays", 1.0, 8.0),
)


def fixed(number, end):
    return ranged(number.get(end, number["value"]), number["unit"])


def test_the_interval_is_the_range_over_all_corners():
    # brute force: every combination of ends, each a library of its own (the two areas move their totals alone)
    prepared = prepare(TILES)
    result = prepared.estimate(library(*NUMBERS))
    corners = [
        prepared.estimate(library(*(fixed(n, end) for n, end in zip(NUMBERS, ends, strict=True)))).totals
        for ends in itertools.product(("low", "high"), repeat=len(NUMBERS))
    ]
    for total in ("energy_nj", "latency_us", "full_rate_hz", "power_peak_mw"):
        values = [corner[total] for corner in corners]
        assert result.interval[total] == pytest.approx((min(values), max(values))), total
    low, high = result.interval["area_mm2"]
    assert low < result.totals["area_mm2"] < high


def test_the_tornado_moves_one_number_at_a_time():
    result = estimate(TILES, library(*NUMBERS))
    frame = result.tornado("energy_nj")
    assert frame["swing"].is_monotonic_decreasing
    top = frame.iloc[0]
    assert (top["component"], top["quantity"]) == ("adc 8 bit", "power")
    only = (fixed(NUMBERS[0], "high"), *(fixed(n, "value") for n in NUMBERS[1:]))
    assert top["total_high"] == pytest.approx(estimate(TILES, library(*only)).totals["energy_nj"])
    assert top["swing"] == pytest.approx(top["total_high"] - top["total_low"])
    assert top["swing_share"] == pytest.approx(top["swing"] / result.totals["energy_nj"])
    area = result.tornado("area_mm2").set_index(["component", "quantity"])["swing"]
    assert area["adc 8 bit", "power"] == 0
    assert area["adc 8 bit", "area"] > 0
    with pytest.raises(UserError, match=r"Unknown total 'energy'\. Did you mean 'energy_nj'\?"):
        result.tornado("energy")


def test_independent_errors_are_narrower_than_the_corners_and_hold_the_value():
    result = estimate(TILES, library(*NUMBERS))
    for total, (low, high) in result.uncertainty.interval_independent.items():
        outer = result.interval[total]
        slack = 1e-9 * abs(result.totals[total])
        assert low - slack <= result.totals[total] <= high + slack
        if total in ("energy_nj", "area_mm2"):
            assert outer[0] - slack <= low
            assert high <= outer[1] + slack


@pytest.mark.parametrize("name", Library.names())
def test_every_total_lies_in_its_interval(name):
    bits = 4 if name == "forms-32nm" else 8
    result = estimate(TILES, name, adc_bits=bits, frame_rate_hz=100.0)
    for total, (low, high) in result.interval.items():
        assert low * (1 - 1e-12) <= result.totals[total] <= high * (1 + 1e-12), total
    assert result.interval["energy_nj"][0] < result.interval["energy_nj"][1]


def test_without_ranges_there_is_no_interval():
    exact = library(*(fixed(number, "value") for number in NUMBERS))
    result = estimate(TILES, exact)
    assert result.interval["energy_nj"] == (result.totals["energy_nj"],) * 2
    assert set(result.tornado()["component"]) == {"adc 8 bit", "router"}  # the areas still have a range
    assert set(result.tornado()["swing"]) == {0.0}


@pytest.mark.parametrize("model", ["isaac", "andrulis"])
def test_a_law_moves_with_what_it_reads(model):
    names = set(estimate(TILES, "isaac-32nm", adc_model=model).tornado()["component"])
    assert ("adc 8 bit" in names) == (model == "isaac")
    assert "adc" in names  # its rate
