"""What an estimate takes for granted is said, and its numbers name their sources."""

import numpy as np
import pytest

from hwmodels import Library, estimate


def test_unknown_read_energy_is_assumed_from_the_conductances_and_said(table, small_library, component):
    result = estimate(table({"read_energy_j": np.nan}), small_library())
    assert component(result, "cell")[2] == pytest.approx(1e-4 * 0.5**2 * 100e-9 * 80 * 1e9)
    assert any("1 of 1 pieces is not known" in sentence for sentence in result.assumptions)
    assert not any("pieces is not known" in s for s in estimate(table({}), small_library()).assumptions)


def test_who_says_how_long_a_read_takes_is_said(table, small_library):
    def about(result, words):
        return [sentence for sentence in result.assumptions if words in sentence]

    silent, same, other = (estimate(table(t), small_library()) for t in ({}, {"t_read_s": 1e-7}, {"t_read_s": 2e-7}))
    assert about(silent, "An array read takes") == ["An array read takes the library's 100 ns."]
    assert about(same, "An array read takes") == []
    assert about(other, "An array read takes") == [
        "An array read takes what the array states (200 ns); the library's 100 ns is not used."
    ]
    assert other.totals["latency_us"] == pytest.approx(2 * silent.totals["latency_us"])
    assert about(silent, "the library's 0.5 V is not used")
    assert not about(estimate(table({"read_energy_j": np.nan}), small_library()), "is not used")


def test_sources_name_what_was_used_and_nothing_else(table):
    result = estimate(table({"cols_per_adc": 8}), "isaac-32nm")
    keys = {"component", "quantity", "value", "unit", "node_nm", "source"}
    assert all(set(row) == keys and row["source"] for row in result.sources)
    named = {row["component"] for row in result.sources}
    assert {"adc 8 bit", "dac 1 bit", "adc", "cell", "router", "buffer"} <= named
    assert not {"adc 4 bit", "dac 2 bit", "hypertransport", "organisation"} & named


def test_assumptions_are_sentences(table):
    for library in Library.names():
        bits = 4 if library == "forms-32nm" else 8
        result = estimate(table({"adc_bits": bits, "dac_bits": 1}), library)
        assert len(result.assumptions) == len(set(result.assumptions)) > 5
        assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in result.assumptions)


def test_a_library_without_a_part_counts_none_and_says_so(table):
    result = estimate(table({"adc_bits": 4}), "forms-32nm")
    assert "router" not in set(result.table["component"])
    assert any("lists no adder, accumulator, bus, router" in sentence for sentence in result.assumptions)
