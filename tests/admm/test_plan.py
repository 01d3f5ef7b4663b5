import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from admm import LayerPlan, Plan, Schedule
from admm.constraints import Binary, Block, Channel, Column, Filter, Levels, Uniform, Unstructured
from admm.layers import resolve
from admm.schedules import stages
from crossbar import ArraySpec
from hwmodels.errors import UserError

LEVELS = Levels((-1.0, -0.5, 0.5, 1.0), "fit")
HALF = (Filter(0.5),)


@pytest.fixture(scope="module")
def array():
    return ArraySpec(rows=32, cols=32, device="yuan2019")  # type: ignore[arg-type]


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.Linear(8, 3),
    )


def planned(*layers, **kwargs):
    return Plan(layers=layers, **kwargs)


def entry(name, prune=HALF, levels=None):
    return LayerPlan(name=name, prune=prune, levels=levels)


def test_an_exact_name_beats_globs_and_the_first_glob_wins():
    plan = planned(entry("[45]", (Filter(2),)), entry("*", (Filter(3),)), entry("5", (Filter(1),)))
    kept = {name: layer.prune[0].keep for name, layer in resolve(plan, network()).items()}
    assert kept == {"0": 3, "2": 3, "4": 2, "5": 1}


def test_layers_without_constraints_are_left_alone():
    plan = planned(entry("0", ()), entry("*"))
    assert list(resolve(plan, network())) == ["2", "4", "5"]


def test_levels_by_pattern_stand_in_the_place_of_the_arrays(array):
    chosen = {"5": Binary(), "[24]": Uniform(3, per="channel"), "0": None}
    plan = Plan.for_array(array, prune={"*": Unstructured(0.5), "4": Filter(0.5)}, levels=chosen)
    layers = resolve(plan, network())
    assert {name: layer.levels for name, layer in layers.items()} == {
        "0": None, "2": chosen["[24]"], "4": chosen["[24]"], "5": Binary()
    }  # fmt: skip
    assert layers["4"].prune == (Filter(0.5),)
    assert layers["5"].prune == (Unstructured(0.5),)
    again = TypeAdapter(Plan).validate_json(TypeAdapter(Plan).dump_json(plan))
    assert again == plan


def test_levels_for_a_layer_that_is_not_there_are_refused(array):
    with pytest.raises(UserError, match=r"no layer 'fc9'|[Uu]nknown layer 'fc9'"):
        resolve(Plan.for_array(array, levels={"fc9": Binary()}), network())


def test_for_array_gives_every_layer_the_levels_and_patterns_the_pruning(array):
    plan = Plan.for_array(array, prune={"4": [Filter(0.5), Column(0.25)], "5": Column(0.5)})
    layers = resolve(plan, network())
    assert {name: layer.prune for name, layer in layers.items()} == {
        "0": (), "2": (), "4": (Filter(0.5), Column(0.25)), "5": (Column(0.5),)
    }  # fmt: skip
    for layer in layers.values():
        assert layer.levels == Levels(tuple(array.weight_levels().tolist()), "fit")
        assert 0.0 not in layer.levels.values
    everywhere = Plan.for_array(array, prune={"*": HALF}, order="sequential")
    assert [layer.name for layer in everywhere.layers] == ["*"]
    assert everywhere.order == "sequential"
    pruned = Plan.for_array(array, prune={"4": HALF}, quantise=False, schedule=Schedule(rho=0.5))
    assert list(resolve(pruned, network())) == ["4"]
    assert pruned.layers[0].levels is None
    assert pruned.schedule.rho == 0.5


def test_the_catch_all_may_come_away_empty(array):
    names = ["0", "2", "4", "5"]
    plan = Plan.for_array(array, prune=dict.fromkeys(names, HALF))
    assert list(resolve(plan, network())) == names


def frozen(model):
    model[4].weight.requires_grad_(False)
    return model


def tied(model):
    model[4].weight = nn.Parameter(torch.randn(8, 8))
    model.append(nn.Linear(8, 8))
    model[6].weight = model[4].weight
    return model


def same_module_twice(model):
    model.append(model[5])
    return model


def same_storage(model):
    model.append(nn.Linear(8, 3))
    model[6].weight = nn.Parameter(model[5].weight.data)
    return model


def with_nan(model):
    with torch.no_grad():
        model[4].weight[0, 0] = float("nan")
    return model


def normed(model):
    nn.utils.parametrizations.weight_norm(model[4])
    return model


def lazy(model):
    model[4] = nn.LazyLinear(8)
    return model


@pytest.mark.parametrize(
    ("change", "plan", "message"),
    [
        (None, planned(entry("6")), r"^Unknown layer '6'\. Choose one of: 0, 2, 4, 5\.$"),
        (None, planned(entry("conv*")), r"^Unknown layer 'conv\*'"),
        (None, planned(entry("1")), r"^Layer '1' is a BatchNorm2d, .* plan one of: 0, 2, 4, 5\.$"),
        (None, planned(entry("*"), entry("[45]")), r"^Layer pattern '\[45\]' has nothing left: .* took '4', '5'\."),
        (None, planned(entry("*", ())), "leaves every layer of the model alone"),
        (None, planned(entry("5", (Filter(4),))), r"^Layer '5': Filter\(keep=4.* but the layer has 3\."),
        (frozen, planned(entry("*")), r"^Layer '4' is frozen: call requires_grad_\(True\)"),
        (tied, planned(entry("*")), r"^Layer '4' shares its weight with '6\.weight': .* Untie them"),
        (same_module_twice, planned(entry("5")), r"^Layer '5' shares its weight with '6\.weight'"),
        (same_storage, planned(entry("5")), r"^Layer '5' shares its weight with '6\.weight'"),
        (with_nan, planned(entry("*")), r"^Layer '4' has weights that are NaN or infinite"),
        (normed, planned(entry("4")), r"^Layer '4' computes its weight .* remove that first"),
        (lazy, planned(entry("4")), r"^Layer '4' is not initialised yet: run one batch"),
        (nn.Module.half, planned(entry("4")), r"^Layer '4' holds its weights in a type .* call model\.float\(\)"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_plan_that_does_not_fit_says_why(change, plan, message):
    model = network() if change is None else change(network())
    with pytest.raises(UserError, match=message):
        resolve(plan, model)


def test_a_near_miss_is_suggested():
    model = nn.Sequential()
    model.add_module("conv1", nn.Conv2d(1, 2, 3))
    with pytest.raises(UserError, match=r"^Unknown layer 'conv_1'\. Did you mean 'conv1'\?$"):
        resolve(planned(entry("conv_1")), model)


def test_a_frozen_layer_outside_the_plan_is_no_matter():
    assert list(resolve(planned(entry("5")), frozen(network()))) == ["5"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule(rho=0.0), "rho"),
        (lambda: Schedule(rho_growth=0.9), "rho_growth"),
        (lambda: Schedule(admm_epochs=-1), "admm_epochs"),
        (lambda: Schedule(update_every=0), "update_every"),
        (lambda: Schedule(momentum=0.9), 'momentum is a setting of optimizer="sgd"'),
        (lambda: Schedule(epochs=3), "epochs"),  # type: ignore[call-arg]
        (lambda: planned(), "layers"),
        (lambda: planned(entry("a"), entry("a")), "'a' is planned twice"),
        (lambda: planned(entry("a"), schedule=Schedule(quantise_epochs=3)), 'a stage of order="sequential"'),
        (lambda: planned(entry("a"), order="both"), "order"),
        (lambda: entry("a", (LEVELS,)), "prune"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_plan_survives_json():
    prune = (Unstructured(0.1), Filter(3), Channel(1.0), Column(0.5), Block(rows=4, cols=2, keep=1))
    plan = planned(entry("a", prune, LEVELS), order="sequential", schedule=Schedule(quantise_epochs=2))
    adapter = TypeAdapter(Plan)
    assert adapter.validate_json(adapter.dump_json(plan)) == plan


def course(plan):
    return [(s.name, s.epochs, s.prune, s.quantise, s.masked) for s in stages(plan, resolve(plan, network()).values())]


def test_stages_of_both_orders():
    schedule = {"admm_epochs": 5, "retrain_epochs": 4, "finish_epochs": 3}
    both = entry("4", HALF, LEVELS)
    assert course(planned(both, schedule=Schedule(**schedule))) == [
        ("admm", 5, True, True, False), ("retrain", 4, False, True, True), ("finish", 3, False, False, True)
    ]  # fmt: skip
    assert course(planned(both, order="sequential", schedule=Schedule(**schedule, quantise_epochs=2))) == [
        ("admm", 5, True, False, False), ("retrain", 4, False, False, True),
        ("quantise", 2, False, True, True), ("finish", 3, False, False, True),
    ]  # fmt: skip
    assert course(planned(entry("4"), schedule=Schedule(**schedule))) == [
        ("admm", 5, True, False, False), ("retrain", 4, False, False, True)
    ]  # fmt: skip
    assert course(planned(entry("4", (), LEVELS), order="sequential", schedule=Schedule(**schedule))) == [
        ("quantise", 5, False, True, True), ("finish", 3, False, False, True)
    ]  # fmt: skip


def test_the_learning_rate_restarts_with_every_update():
    plan = planned(entry("4", HALF, LEVELS), schedule=Schedule(admm_epochs=7, update_every=3, lr=0.1, retrain_lr=1.0))
    admm, retrain, _ = stages(plan, resolve(plan, network()).values())
    assert [admm.rate(e, "cosine") for e in range(7)] == pytest.approx([0.1, 0.075, 0.025] * 2 + [0.1])
    assert [admm.rate(e, "step") for e in range(7)] == pytest.approx([0.1, 0.01, 0.001] * 2 + [0.1])
    assert [admm.rate(e, "constant") for e in range(7)] == [0.1] * 7
    rates = [retrain.rate(e, "cosine") for e in range(retrain.epochs)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert [e for e in range(7) if admm.updates_after(e, 3)] == [2, 5, 6]
