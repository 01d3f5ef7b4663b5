"""Which key of the configuration changes which stage: the table of docs/sweeps.md, written by reasoning."""

from dataclasses import asdict

import pytest
import safetensors.torch

from experiments import models
from experiments.config import Config
from experiments.config import validated as config_of
from experiments.sweeping.axes import all_keys, overlaid
from experiments.sweeping.keys import STAGES, KeyMaker
from hwmodels.errors import UserError

EVERYTHING = set(STAGES)
COMPRESSION = {"compressed", "placement", "chips", "cost"}  # and what follows from the compressed network
PLACING = {"placement", "baseline", "chips", "cost"}  # both networks stand otherwise on arrays
LEVELS = COMPRESSION | {"baseline"}  # weights have other levels, in both networks
CHIPS, COST, NOTHING = {"chips"}, {"cost"}, set()

TABLE = {
    "seed": (1, EVERYTHING),
    "network.name": ("lenet5", EVERYTHING),
    "data.name": (None, EVERYTHING),  # other sets are not there in a test
    "data.dir": ("elsewhere", NOTHING),  # by content, not by place
    "data.train_limit": (500, EVERYTHING),
    "data.test_limit": (100, EVERYTHING),
    "data.held_out": (0.2, EVERYTHING),
    "train.epochs": (3, EVERYTHING),
    "train.batch_size": (16, EVERYTHING),
    "train.lr": (0.5, EVERYTHING),
    "train.optimizer": ("sgd", EVERYTHING),
    "train.momentum": (0.5, EVERYTHING),
    "train.weight_decay": (0.5, EVERYTHING),
    "train.schedule": ("constant", EVERYTHING),
    "train.label_smoothing": (0.5, EVERYTHING),
    "train.augment": ("shift", EVERYTHING),
    "train.nesterov": (True, EVERYTHING),
    "train.warmup_epochs": (2, EVERYTHING),
    "train.average": (0.9, EVERYTHING),
    "train.device": ("cuda", EVERYTHING),
    "train.precision": ("bfloat16", EVERYTHING),
    "compress.order": ("sequential", COMPRESSION),
    "compress.quantise": (False, COMPRESSION),
    "compress.admm_epochs": (1, COMPRESSION),
    "compress.update_every": (1, COMPRESSION),
    "compress.rho": (0.5, COMPRESSION),
    "compress.rho_growth": (1.5, COMPRESSION),
    "compress.retrain_epochs": (1, COMPRESSION),
    "compress.quantise_epochs": (1, COMPRESSION),
    "compress.finish_epochs": (1, COMPRESSION),
    "compress.lr": (0.5, COMPRESSION),
    "compress.retrain_lr": (0.5, COMPRESSION),
    "compress.finish_lr": (0.5, COMPRESSION),
    "compress.optimizer": ("sgd", COMPRESSION),
    "compress.momentum": (0.5, COMPRESSION),
    "compress.weight_decay": (0.5, COMPRESSION),
    "compress.lr_schedule": ("constant", COMPRESSION),
    "compress.batch_size": (16, COMPRESSION),
    "compress.rank": ("gain", COMPRESSION),
    "compress.solver": ("slr", COMPRESSION),
    "compress.slr_step": (0.5, COMPRESSION),
    "compress.slr_m": (100.0, COMPRESSION),
    "compress.slr_r": (0.5, COMPRESSION),
    "compress.rho_rule": ("balance", COMPRESSION),
    "compress.rho_threshold": (5.0, COMPRESSION),
    "compress.stop": (0.5, COMPRESSION),
    "compress.steps": (2, COMPRESSION),
    "compress.step_ratio": (3.0, COMPRESSION),
    "compress.quantise_steps": (2, COMPRESSION),
    "compress.accumulate": (2, COMPRESSION),
    "compress.precision": ("bfloat16", COMPRESSION),
    "compress.distill": (0.5, COMPRESSION),
    "compress.distill_temperature": (2.0, COMPRESSION),
    "compress.purify": (0.01, COMPRESSION),
    "compress.target": ("reduction", COMPRESSION),
    "compress.limit": (20, COMPRESSION),
    "compress.measure": ("share", COMPRESSION),
    "compress.accuracy_floor": (0.9, EVERYTHING),  # it takes its samples from training
    "compress.levels.fc1.kind": ("binary", COMPRESSION),
    "compress.method": (None, COMPRESSION),  # together with its keys, below
    "compress.rates": ([3.0, 9.0], COMPRESSION),
    "compress.parents": (2, COMPRESSION),
    "compress.gates.fc1.gates": (0.25, COMPRESSION),
    "compress.gates_epochs": (2, COMPRESSION),
    "compress.gates_rho": (0.5, COMPRESSION),
    "compress.gates_alpha": (0.5, COMPRESSION),
    "compress.gates_lr": (0.5, COMPRESSION),
    "compress.train_on": (["mismatch"], COMPRESSION),
    "compress.train_chips": ("epoch", COMPRESSION),
    "compress.stuck_map": (None, COMPRESSION),  # by content
    "compress.snap": (True, COMPRESSION - {"compressed"}),  # it is read when weights are placed
    "compress.prune.fc1.filter": (8, COMPRESSION),
    "compress.budget.fc*.keep": (0.5, COMPRESSION),
    "crossbar.rows": (64, PLACING),
    "crossbar.cols": (64, PLACING),
    "crossbar.slices": (2, COMPRESSION),  # the baseline has as many slices as its own bits need
    "crossbar.idle": ("hrs", LEVELS),
    "crossbar.pair_subtraction": ("analog", PLACING),
    "crossbar.encoding": ("offset", LEVELS),
    "crossbar.slice_bits": ([2, 2], LEVELS),
    "crossbar.slice_layout": ("columns", PLACING),
    "crossbar.pair_layout": ("columns", PLACING),
    "crossbar.offset_correction": ("analog", PLACING),
    "crossbar.fragment": (4, COMPRESSION),  # the baseline, not pruned to one sign, stands on pairs
    "crossbar.fragment_order": ("C", COMPRESSION),
    "crossbar.signed_inputs": ("twos_complement", PLACING),
    "crossbar.input_range": (None, PLACING),  # together with its number, below
    "crossbar.input_percentile": (99.0, PLACING),
    "crossbar.input_full_scale": (2.0, PLACING),
    "crossbar.dac_errors.gain": (0.01, CHIPS),
    "crossbar.adc_errors.gain": (0.01, CHIPS),
    "crossbar.adc_percentile": (99.0, PLACING),
    "crossbar.adc_range_per": ("converter", PLACING),
    "crossbar.r_access_ohm": (1.0, PLACING),
    "crossbar.both_ends": (True, PLACING),
    "crossbar.unused_rows": ("grounded", PLACING),
    "crossbar.wire_model": ("fast", PLACING),
    "crossbar.input_bits": (6, PLACING),
    "crossbar.dac_bits": (2, PLACING),
    "crossbar.adc_bits": (6, CHIPS | COST),
    "crossbar.cols_per_adc": (16, COST),
    "crossbar.adc_range": ("full", PLACING),
    "crossbar.r_word_ohm": (1.0, PLACING),
    "crossbar.r_bit_ohm": (1.0, PLACING),
    "crossbar.r_source_ohm": (1.0, PLACING),
    "crossbar.r_sink_ohm": (1.0, PLACING),
    "crossbar.t_read_s": (2e-7, COST),
    "device.preset": ("hfox", LEVELS),
    "device.levels": (4, LEVELS),
    "device.stuck_at_lrs": (0.01, CHIPS),
    "device.stuck_at_hrs": (0.01, CHIPS),
    "device.mismatch": (0.5, CHIPS),
    "mapping.repack": (True, COMPRESSION - {"compressed"}),  # the unpruned baseline is tiled plainly
    "mapping.share": ("layer", COMPRESSION - {"compressed"}),
    "mapping.spare_rows": (2, COMPRESSION - {"compressed"}),
    "mapping.spare_cols": (2, COMPRESSION - {"compressed"}),
    "mapping.avoid_faults": (True, CHIPS),
    "hardware.library": ("forms-32nm", COST),
    "hardware.adc_model": ("andrulis", COST),
    "hardware.node_nm": (16.0, COST),
    "hardware.execution": ("layer-by-layer", COST),
    "hardware.frame_rate_hz": (10.0, COST),
    "hardware.replicas.fc1": (2, COST),
    "hardware.baseline_bits": (5, {"baseline", "cost"}),
    "simulate.seeds": (3, NOTHING),  # how many chips, not which
    "simulate.batch_size": (32, EVERYTHING),  # accuracies are measured in these batches
    "simulate.calibration_samples": (64, PLACING),
    "simulate.t_s": (10.0, CHIPS),
    "simulate.temperature_k": (320.0, CHIPS),
    "simulate.read_noise": (False, CHIPS),
}
BASE = Config().resolved()
PARENTS = {"compress.method": "parents", "compress.rates": [2.0, 4.0]}
GATES = {"compress.method": "gates", "compress.gates.fc1.weights": 0.5}
AIM = {"compress.target": "arrays", "compress.limit": 14}
NEEDS = {
    "compress.quantise": {"compress.prune.fc1.filter": 8},
    "compress.momentum": {"compress.optimizer": "sgd"},
    "compress.quantise_epochs": {"compress.order": "sequential"},
    "compress.slr_step": {"compress.solver": "slr"},
    "compress.slr_m": {"compress.solver": "slr"},
    "compress.slr_r": {"compress.solver": "slr"},
    "compress.rho_threshold": {"compress.rho_rule": "balance"},
    "compress.step_ratio": {"compress.steps": 2},
    "compress.quantise_steps": {"compress.order": "sequential"},
    "compress.distill_temperature": {"compress.distill": 0.5},
    "compress.rates": PARENTS,
    "compress.parents": PARENTS,
    **{f"compress.gates{key}": GATES for key in (".fc1.gates", "_epochs", "_rho", "_alpha", "_lr")},
    "compress.train_chips": {"compress.train_on": ["adc"]},
    "compress.target": AIM,
    "compress.limit": AIM,
    "compress.measure": AIM,
    "compress.accuracy_floor": AIM,
    "crossbar.offset_correction": {"crossbar.encoding": "offset"},
    "crossbar.fragment": {"crossbar.encoding": "polarised"},
    "crossbar.fragment_order": {"crossbar.encoding": "polarised"},
    "crossbar.input_percentile": {"crossbar.input_range": "percentile", "crossbar.input_percentile": 99.9},
    "crossbar.input_full_scale": {"crossbar.input_range": "fixed", "crossbar.input_full_scale": 1.0},
    "crossbar.adc_percentile": {"crossbar.adc_range": "percentile", "crossbar.adc_percentile": 99.9},
    "hardware.library": {"crossbar.adc_bits": 4},  # what both libraries list
}


def changed(changes, base=None):
    """Stages whose keys differ between a configuration and the same with some keys changed."""
    base = BASE if base is None else base
    maker = KeyMaker()
    before, after = maker.keys(config_of(base, "base")), maker.keys(config_of(overlaid(base, changes), "changed"))
    return {stage for stage, key in asdict(before).items() if key != asdict(after)[stage]}


def test_the_table_has_every_key():
    reports = {key for key in all_keys() if key.startswith("report.")}
    in_it = {next((key for key in all_keys() if name == key or name.startswith(f"{key}.")), name) for name in TABLE}
    assert in_it | {"network.weights", "compress.start"} | reports == set(all_keys())


@pytest.mark.parametrize("key", [key for key, (value, _) in TABLE.items() if value is not None])
def test_a_key_changes_the_stages_that_read_it(key):
    value, stages = TABLE[key]
    assert changed({key: value}, overlaid(BASE, NEEDS.get(key, {}))) == stages


def test_an_array_sized_constraint_ties_compression_to_the_array():
    base = overlaid(BASE, {"compress.prune.fc1.block": 0.5})
    assert changed({"crossbar.rows": 64}, base) == EVERYTHING - {"dense"}
    assert changed({"crossbar.adc_bits": 6}, base) == CHIPS | COST


@pytest.mark.parametrize("kind", ["area", "power", "energy", "arrays", "reduction"])
def test_a_hardware_target_ties_compression_to_what_prices_it(kind):
    limit = {"area": "1mm2", "power": "1mW", "energy": "1uJ"}.get(kind, 10)
    base = overlaid(BASE, {"compress.target": kind, "compress.limit": limit, "crossbar.adc_bits": 4})
    priced = COMPRESSION if kind != "reduction" else set()
    for changes, otherwise in (
        ({"hardware.library": "forms-32nm"}, COST),
        ({"hardware.replicas.fc1": 2}, COST),
        ({"crossbar.cols_per_adc": 16}, COST),
        ({"crossbar.adc_bits": 5}, CHIPS | COST),
        ({"simulate.calibration_samples": 64}, PLACING),
    ):
        assert changed(changes, base) == otherwise | priced
    assert changed({"hardware.frame_rate_hz": 10.0}, base) == (COMPRESSION if kind == "power" else COST)
    assert changed({"hardware.baseline_bits": 5}, base) == {"baseline", "cost"} | (
        COMPRESSION if kind == "power" else set()
    )
    assert changed({"crossbar.rows": 64}, base) == EVERYTHING - {"dense"}


def test_a_target_is_known_by_its_value_and_a_floor_only_where_it_decides():
    base = overlaid(BASE, {"compress.target": "area", "compress.limit": "0.5mm2"})
    assert changed({"compress.limit": "500000um2"}, base) == NOTHING
    floored = overlaid(base, {"compress.accuracy_floor": 0.9})
    assert changed({"compress.accuracy_floor": 0.8}, floored) == NOTHING
    searched = overlaid(BASE, {"compress.target": "area", "compress.accuracy_floor": 0.9})
    assert changed({"compress.accuracy_floor": 0.8}, searched) == COMPRESSION
    assert (
        changed(
            {"compress.target": "area", "compress.limit": "1mm2"},
            overlaid(BASE, {"compress.quantise": False, "compress.prune.*.n_m": "2:4"}),
        )
        == COMPRESSION
    )


def test_another_method_is_another_compression():
    assert changed(PARENTS) == changed(GATES) == COMPRESSION


def test_hardware_in_the_loop_ties_compression_to_what_it_sees_of_the_chip():
    seen = overlaid(BASE, {"compress.train_on": ["mismatch", "adc"]})
    assert changed({"device.mismatch": 0.5}, seen) == CHIPS | COMPRESSION
    assert changed({"crossbar.adc_bits": 6}, seen) == CHIPS | COMPRESSION
    for key, value in (("device.stuck_at_lrs", 0.01), ("simulate.read_noise", False)):
        assert changed({key: value}, seen) == CHIPS
    assert changed({"crossbar.r_word_ohm": 1.0}, seen) == PLACING
    assert changed({"crossbar.r_word_ohm": 1.0}, overlaid(BASE, {"compress.train_on": ["wires"]})) == EVERYTHING - {
        "dense"
    }


def test_a_map_of_stuck_cells_counts_by_its_content(tmp_path):
    paths = [tmp_path / name for name in ("a.csv", "b.csv", "c.csv")]
    for path, row in zip(paths, (0, 0, 1), strict=True):
        path.write_text(f"layer,row,col,value\nfc1,{row},0,1.0\n")
    base = overlaid(BASE, {"compress.stuck_map": str(paths[0])})
    assert changed({"compress.stuck_map": str(paths[1])}, base) == NOTHING
    assert changed({"compress.stuck_map": str(paths[2])}, base) == COMPRESSION
    assert changed({"compress.stuck_map": str(paths[0])}) == COMPRESSION


def test_another_rule_for_the_range_of_inputs_changes_calibration():
    assert changed({"crossbar.input_range": "percentile", "crossbar.input_percentile": 99.0}) == PLACING


def test_what_purifying_reads_reaches_compression():
    base = overlaid(BASE, {"compress.purify": 0.01})
    assert changed({"simulate.calibration_samples": 64}, base) == EVERYTHING - {"dense"}


def test_converters_with_errors_or_ranges_of_their_own_are_told_apart_by_what_they_share():
    assert changed({"crossbar.cols_per_adc": 16}, overlaid(BASE, {"crossbar.adc_errors.gain": 0.01})) == CHIPS | COST
    assert changed({"crossbar.cols_per_adc": 16}, overlaid(BASE, {"crossbar.adc_range_per": "converter"})) == PLACING


def test_without_quantisation_levels_do_not_reach_compression():
    base = overlaid(BASE, {"compress.quantise": False, "compress.prune.fc1.filter": 8})
    assert changed({"device.levels": 4}, base) == PLACING


def test_leaving_the_converters_out_changes_calibration():
    assert changed({"crossbar.adc_bits": "ideal"}) == PLACING


def test_errors_of_a_device_that_verifies_its_writing_change_the_cost_of_it():
    base = overlaid(BASE, {"device.preset": "pcm-like"})
    expected = CHIPS | COST if _verifies("pcm-like") else CHIPS
    assert changed({"device.mismatch": 0.5}, base) == expected
    verifying = next(name for name in _presets() if _verifies(name))
    assert changed({"device.stuck_at_lrs": 0.02}, overlaid(BASE, {"device.preset": verifying})) == CHIPS | COST


def _presets():
    from hwmodels import Device

    return Device.names()


def _verifies(name):
    from hwmodels import Device

    return Device.load(name).write_verify is not None


def test_weights_count_by_content(tmp_path):
    network = models.build("digits-conv", in_channels=1, classes=10, image_size=8)
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors")]
    for path, shift in zip(paths, (0, 0, 1), strict=True):
        safetensors.torch.save_file({k: (v + shift).contiguous() for k, v in network.state_dict().items()}, path)
    base = overlaid(BASE, {"network.weights": str(paths[0])})
    assert changed({"network.weights": str(paths[1])}, base) == NOTHING
    assert changed({"network.weights": str(paths[2])}, base) == EVERYTHING
    assert changed({"network.weights": str(paths[0])}) == EVERYTHING


def test_a_contradiction_is_the_users_to_resolve():
    for changes, message in (
        ({"crossbar.slices": 9}, "weight levels"),
        ({"crossbar.adc_bits": 12}, "12-bit ADC"),
        ({"device.preset": "yuan"}, "yuan2019"),
    ):
        with pytest.raises(UserError, match=message):
            changed(changes)
