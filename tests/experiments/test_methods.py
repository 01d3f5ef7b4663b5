"""The methods of compression from a configuration, on a hundred digits."""

import dataclasses

import pandas as pd
import pytest
import torch

from experiments import methods, stages
from experiments.config import (
    Budget,
    Compress,
    Config,
    Crossbar,
    Data,
    DeviceSection,
    Gates,
    LevelSet,
    Prune,
    Simulate,
    Train,
)
from experiments.progress import SILENT
from experiments.setup import prepare
from hwmodels.errors import UserError

QUICK = {"admm_epochs": 2, "update_every": 1, "retrain_epochs": 1, "finish_epochs": 1, "lr": 3e-3}


def _setup(**keys):
    section = Compress(**(QUICK | keys))
    return prepare(
        Config(
            seed=2,
            data=Data(train_limit=120, test_limit=60),
            train=Train(epochs=2, batch_size=32, lr=5e-3),
            compress=section,
            crossbar=Crossbar(rows=32, cols=32),
            device=DeviceSection(preset="hfox"),
            simulate=Simulate(calibration_samples=16),
        ),
        "small",
        SILENT,
    )


def _compressed(setup, folder):
    stages.train_dense(setup, folder / "dense", SILENT)
    return stages.compress(setup, setup.network, folder / "compressed", SILENT)


def _state(compressed):
    return {name: value.clone() for name, value in compressed.model.state_dict().items()}


@pytest.fixture(autouse=True)
def _thread(one_thread):
    """Bit for bit, at one thread."""


def test_gates_prune_weights_and_whole_outputs_and_are_not_done_twice(tmp_path):
    setup = _setup(
        method="gates", gates={"fc1": Gates(weights=0.2, gates=0.5), "conv2": Gates(weights=0.5)}, gates_epochs=2
    )
    made = _compressed(setup, tmp_path)
    assert made.violations() == {"levels": 0, "constraints": 0}
    weight = made.model.get_submodule("fc1").weight
    assert int((weight != 0).sum()) <= round(0.2 * weight.numel())
    assert int((weight != 0).any(dim=1).sum()) <= weight.shape[0] // 2
    assert made.masks["fc2"].all()
    # What gates left is read again, and all the rest repeats bit for bit.
    calls = []
    before = methods.prune_jointly
    methods.prune_jointly = lambda *args, **kwargs: calls.append(args)
    try:
        again = stages.compress(setup, setup.network, tmp_path / "compressed", SILENT)
    finally:
        methods.prune_jointly = before
    assert not calls
    assert all(torch.equal(again.model.state_dict()[name], value) for name, value in _state(made).items())


def test_one_number_for_all_layers_without_levels(tmp_path):
    setup = _setup(method="gates", gates={"*": Gates(weights=0.3, gates=0.6)}, gates_epochs=1, quantise=False)
    made = _compressed(setup, tmp_path)
    total = sum(mask.numel() for mask in made.masks.values())
    assert sum(int(mask.sum()) for mask in made.masks.values()) <= round(0.3 * total)
    assert not made.grids
    assert set(made.history["stage"]) == {"retrain"}


def test_a_search_over_parents_ends_at_the_sets_own_budget(tmp_path):
    setup = _setup(method="parents", rates=(2.0, 4.0), parents=1, prune={"fc1": Prune(unstructured=0.25)})
    made = _compressed(setup, tmp_path)
    weight = made.model.get_submodule("fc1").weight
    assert int((weight != 0).sum()) <= weight.numel() // 4
    table = pd.read_csv(tmp_path / "compressed" / methods.CANDIDATES)
    assert table["rate"].tolist() == [2.0, 4.0]
    assert table["parent"].tolist() == [1.0, 2.0]  # the second one from the network of rate 2
    plans = methods.plans_by_rate(setup.plan, setup.network, 4.0)
    kept = {rate: plans(rate).layers[0] for rate in (2.0, 4.0)}
    assert all(plan.name == "conv1" for plan in kept.values())
    sets = {rate: next(p for p in plans(rate).layers if p.name == "fc1").prune[0] for rate in (2.0, 4.0)}
    assert sets[2.0].keep == 2 * sets[4.0].keep if isinstance(sets[4.0].keep, int) else weight.numel() // 2


def test_training_on_noisy_arrays_repeats_bit_for_bit_after_an_interruption(tmp_path):
    keys = {
        "train_on": ("mismatch",), "finish_epochs": 2, "retrain_epochs": 1, "admm_epochs": 1,
        "levels": {"fc2": LevelSet(kind="binary")},
    }  # fmt: skip
    setup = _setup(**keys)
    stages.train_dense(setup, tmp_path / "dense", SILENT)
    whole = stages.compress(setup, setup.network, tmp_path / "whole", SILENT)
    assert whole.violations() == {"levels": 0, "constraints": 0}
    plain = stages.compress(_trained(_setup(**{**keys, "train_on": ()}), setup), setup.network, tmp_path / "p", SILENT)
    assert not all(torch.equal(plain.model.state_dict()[name], value) for name, value in _state(whole).items())

    def stop(setup, network, folder, progress, evaluate, on_epoch, cost):
        def stopping(row):
            on_epoch(row)
            raise KeyboardInterrupt

        return before(setup, network, folder, progress, evaluate, stopping, cost)

    before = methods.compressed
    methods.compressed = stop
    try:
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                stages.compress(setup, setup.network, tmp_path / "parts", SILENT)
    finally:
        methods.compressed = before
    parts = stages.compress(setup, setup.network, tmp_path / "parts", SILENT)
    assert all(torch.equal(parts.model.state_dict()[name], value) for name, value in _state(whole).items())


def _trained(setup, other):
    """The setup with the other's trained network."""
    setup.network.load_state_dict(other.network.state_dict())
    return dataclasses.replace(setup, network=setup.network)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"method": "gates"}, r'needs \[compress\.gates\.<layer>\]'),
        ({"method": "gates", "gates": {"*": Gates(), "fc1": Gates()}}, '"\\*" alone'),
        ({"method": "gates", "gates": {"fc9": Gates()}}, "Unknown layer 'fc9'"),
        ({"method": "gates", "gates": {"*": Gates()}, "prune": {"*": Prune(filter=2)}}, "compress.prune does not go"),
        ({"gates_lr": 0.1}, r"compress\.gates_lr is read with compress\.method = 'gates' only"),
        ({"parents": 2}, r"compress\.parents is read with compress\.method = 'parents' only"),
        ({"method": "parents", "rates": (4.0, 2.0)}, "needs rising compress.rates"),
        ({"method": "parents"}, "needs rising compress.rates"),
        ({"method": "parents", "rates": (2.0, 4.0), "target": "arrays", "accuracy_floor": 0.9}, "'admm' only"),
        ({"stuck_map": "nowhere.csv"}, "There is no file nowhere.csv"),
        ({"train_chips": "step"}, "give compress.train_on"),
    ],
)  # fmt: skip
def test_keys_that_contradict_the_method_are_refused_before_anything_runs(keys, message):
    with pytest.raises(UserError, match=message):
        _setup(**keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"prune": {"fc9": Prune(filter=2)}}, "Unknown layer 'fc9'. Did you mean"),
        ({"levels": {"fc9": LevelSet(kind="binary")}}, "Unknown layer 'fc9'. Did you mean"),
        ({"budget": {"full*": Budget(keep=0.5)}}, r"Unknown layer 'full\*'"),
        ({"prune": {"fc2": Prune(filter=11)}}, r"Layer 'fc2': Filter.* asks for 11 groups, but the layer has 10"),
        ({"budget": {"*": Budget(kind="filter", keep=3, floor=2)}}, "leaves less than floor = 2 groups"),
        ({"target": "arrays", "limit": 1}, "is impossible; the smallest arrays"),
        ({"prune": {"fc1": Prune(polarised=8)}, "levels": {"fc1": LevelSet(kind="cluster", count=4)}, "snap": True},
         "Layer 'fc1': Polarised needs levels above and below zero"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_runs(keys, message):
    with pytest.raises(UserError, match=message):
        _setup(**keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"lr": 1e20, "optimizer": "sgd", "quantise": False, "prune": {"fc1": Prune(filter=8)}},
         r"Stage 'admm', epoch 1: .* Try a smaller learning rate"),
        ({"method": "gates", "gates": {"*": Gates()}, "gates_lr": 1e20}, r"Joint pruning, epoch 1: .* smaller"),
    ],
)  # fmt: skip
def test_training_that_diverges_says_where_and_leaves_the_dense_network_alone(keys, message, tmp_path):
    setup = _setup(**keys)
    before = {name: value.clone() for name, value in setup.network.state_dict().items()}
    with pytest.raises(UserError, match=message):
        stages.compress(setup, setup.network, tmp_path, SILENT)
    assert all(torch.equal(value, before[name]) for name, value in setup.network.state_dict().items())
