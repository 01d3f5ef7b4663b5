"""What the page says about the compression that was asked for."""

from experiments.reporting.page import asked
from experiments.reporting.wording import plain


def test_every_kind_of_pruning_has_its_words():
    prune = {
        "conv1": {"kernel": 0.5, "pattern": 4, "pattern_entries": 3},
        "conv2": {"array_row": 7, "array_column": 0.25, "balanced": 16},
        "fc1": {"n_m": "2:4", "n_m_axis": "rows", "polarised": 8, "polarised_order": "C", "polarised_refresh": 2},
    }
    budget = {"fc*": {"kind": "filter", "keep": 30}, "*": {"kind": "unstructured", "keep": 0.1}}
    record = {
        "name": "x",
        "config": {"compress": {"prune": prune, "budget": budget, "quantise": False}},
        "weights": {"kept": 1, "total": 2},
    }
    assert (
        "keeping 50 % of the kernels and kernels of 4 patterns in conv1; 7 array rows and 25 % of the array "
        "columns and at most 16 live cells in a column of an array in conv2; at most 2 of every 4 neighbouring weights "
        "and one sign in every fragment of 8 weights in fc1; 30 filters over all of fc*; 10 % of the weights over "
        "all of the layers)"
    ) in plain(asked(record))


def test_gates_levels_by_layer_and_hardware_in_the_loop_are_told():
    section = {
        "method": "gates",
        "gates": {"conv2": {"weights": 0.1, "gates": 8}},
        "levels": {"fc*": {"kind": "binary"}},
        "quantise": True,
        "train_on": ["mismatch", "adc"],
    }
    record = {"name": "x", "config": {"compress": section}, "weights": {"kept": 1, "total": 2}}
    said = plain(asked(record))
    assert "(keeping 10 % of the weights and 8 gates in conv2)" in said
    assert "moves the weights that stay to the conductance levels (binary in fc*)." in said
    assert "Retraining sees of the arrays: mismatch, adc." in said
