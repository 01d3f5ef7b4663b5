"""Training learns, repeats bit for bit, resumes bit for bit, and stops where it makes no sense."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from experiments.data import Batches, load
from experiments.models import build
from experiments.training import accuracy, train
from hwmodels.errors import UserError


@pytest.fixture(autouse=True)
def _one_thread():
    """The promise of equal bits holds at one thread count."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def digits_network(seed: int = 0) -> nn.Module:
    return build("digits-conv", in_channels=1, classes=10, image_size=8, seed=seed)


class Noisy(nn.Module):
    """Has all that an epoch can depend on: batch normalisation and random numbers of its own."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.conv = nn.Conv2d(1, 4, 3)
            self.norm = nn.BatchNorm2d(4)
            self.drop = nn.Dropout(0.3)
            self.fc = nn.Linear(4 * 36, 10)

    def forward(self, x):
        return self.fc(self.drop(self.norm(self.conv(x)).relu().flatten(1)))


def small_batches() -> Batches:
    data = load("digits", train_limit=200, test_limit=50)
    return data.batches("train", 32, seed=1, augment="shift")


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_digits_are_learnt():
    data = load("digits")
    model = digits_network()
    test = data.batches("test", 256)
    before = accuracy(model, test)
    history = train(model, data.batches("train", 32), epochs=6, lr=6e-3, evaluate=lambda m: accuracy(m, test))
    assert before < 0.5
    assert accuracy(model, test) > 0.95
    assert history["accuracy"].iloc[-1] == accuracy(model, test)
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["loss"].is_monotonic_decreasing
    assert history["train_accuracy"].iloc[-1] > 0.97
    assert not model.training


@pytest.mark.parametrize(
    ("optimizer", "schedule", "more"),
    [
        ("adam", "cosine", {}),
        ("sgd", "constant", {}),
        ("sgd", "cosine", {"nesterov": True, "warmup_epochs": 3, "average": 0.9, "precision": "bfloat16"}),
    ],
)
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path, optimizer, schedule, more):
    recipe = {
        **more,
        "epochs": 4, "lr": 1e-2, "optimizer": optimizer, "schedule": schedule, "weight_decay": 1e-3,
        "label_smoothing": 0.1, "seed": 3, "evaluate": lambda m: accuracy(m, small_batches()),
    }  # fmt: skip
    straight = Noisy()
    expected = train(straight, small_batches(), **recipe)

    class StopHereError(Exception):
        pass

    def stop(row: dict) -> None:
        if row["epoch"] == 2:
            raise StopHereError

    with pytest.raises(StopHereError):
        train(Noisy(), small_batches(), **recipe, checkpoint_dir=tmp_path, on_epoch=stop)
    torch.manual_seed(99)  # the caller's generator must not matter
    resumed, seen = Noisy(), []
    history = train(
        resumed, small_batches(), **recipe, checkpoint_dir=tmp_path, on_epoch=lambda row: seen.append(row["epoch"])
    )
    assert seen == [3, 4]
    assert same(state(resumed), state(straight))
    assert history.drop(columns="seconds").equals(expected.drop(columns="seconds"))

    finished = Noisy()
    again = train(finished, small_batches(), **recipe, checkpoint_dir=tmp_path, on_epoch=stop)
    assert same(state(finished), state(straight))
    assert again.equals(history)


def test_a_run_cut_in_the_middle_of_an_epoch_repeats_that_epoch(tmp_path):
    class Cut:
        """Batches that end in an interrupt in the middle of the second epoch."""

        def __init__(self) -> None:
            self.batches = small_batches()
            self.set_epoch = self.batches.set_epoch

        def __len__(self) -> int:
            return len(self.batches)

        def __iter__(self):
            for number, batch in enumerate(self.batches):
                if self.batches.epoch == 2 and number == 3:
                    raise KeyboardInterrupt
                yield batch

    straight, resumed = Noisy(), Noisy()
    train(straight, small_batches(), epochs=3, lr=1e-2)
    with pytest.raises(KeyboardInterrupt):
        train(Noisy(), Cut(), epochs=3, lr=1e-2, checkpoint_dir=tmp_path)
    train(resumed, small_batches(), epochs=3, lr=1e-2, checkpoint_dir=tmp_path)
    assert same(state(resumed), state(straight))


def test_other_settings_do_not_take_up_a_checkpoint(tmp_path):
    train(Noisy(), small_batches(), epochs=1, lr=1e-2, checkpoint_dir=tmp_path)
    with pytest.raises(UserError, match=r"belongs to another training \(epochs 1 there, 2 here, lr 0\.01 there, 0\.02"):
        train(Noisy(), small_batches(), epochs=2, lr=2e-2, checkpoint_dir=tmp_path)


def test_the_callers_generator_is_left_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    train(Noisy(), small_batches(), epochs=1, lr=1e-2)
    assert torch.equal(torch.rand(2), expected)


def test_the_seed_decides_what_is_random_in_the_model():
    first, again, other = Noisy(), Noisy(), Noisy()
    for model, seed in ((first, 1), (again, 1), (other, 2)):
        train(model, small_batches(), epochs=1, lr=1e-2, seed=seed)
    assert same(state(first), state(again))
    assert not same(state(first), state(other))


def scalar_problem() -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Two scores 0 and w·1 with the label 0: the gradient of the cross-entropy in w is sigmoid(w)."""
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    return model, [(torch.ones(1, 1), torch.zeros(1, dtype=torch.int64))]


def test_sgd_with_momentum_and_cosine_follows_its_closed_form():
    model, batches = scalar_problem()
    history = train(model, batches, epochs=3, lr=0.5, optimizer="sgd", momentum=0.8, schedule="cosine")
    w, v = [0.0, 0.0], [0.0, 0.0]
    losses, rates = [], []
    for step in range(3):
        rates.append(0.5 * 0.5 * (1 + math.cos(math.pi * step / 3)))
        p = 1 / (1 + math.exp(w[1] - w[0]))
        losses.append(-math.log(p))
        v = [0.8 * v[0] + (p - 1), 0.8 * v[1] + (1 - p)]
        w = [w[0] - rates[-1] * v[0], w[1] - rates[-1] * v[1]]
    assert model.weight.flatten().tolist() == pytest.approx(w, rel=1e-5)
    assert history["loss"].tolist() == pytest.approx(losses, rel=1e-5)
    assert history["lr"].tolist() == pytest.approx(rates)
    assert history["lr"].iloc[0] == 0.5


def test_nesterov_warm_up_and_the_mean_of_the_weights_follow_their_closed_form():
    model, batches = scalar_problem()
    recipe = {"epochs": 5, "lr": 0.5, "optimizer": "sgd", "momentum": 0.8, "nesterov": True, "warmup_epochs": 2}
    seen = []
    history = train(model, batches, **recipe, average=0.75, evaluate=lambda m: seen.append(m.weight[0, 0].item()) or 0)
    w, v, mean, means = 0.0, 0.0, None, []
    rates = [0.25, 0.5, *(0.25 * (1 + math.cos(math.pi * step / 3)) for step in range(3))]
    for rate in rates:
        g = 1 / (1 + math.exp(2 * w)) * -1  # both weights go opposite ways
        v = 0.8 * v + g
        w -= rate * (g + 0.8 * v)
        mean = w if mean is None else 0.75 * mean + 0.25 * w
        means.append(mean)
    assert history["lr"].tolist() == pytest.approx(rates)
    assert seen == pytest.approx(means, rel=1e-5)
    assert model.weight.flatten().tolist() == pytest.approx([mean, -mean], rel=1e-5)


def test_mixed_precision_rounds_the_forward_pass_and_keeps_the_weights():
    (full, batches), (mixed, _) = scalar_problem(), scalar_problem()
    inputs = [(batches[0][0] * 1.001, batches[0][1])]  # bfloat16 has no 1.001
    train(full, inputs, epochs=3, lr=0.1)
    train(mixed, inputs, epochs=3, lr=0.1, precision="bfloat16")
    assert mixed.weight.dtype == torch.float32
    assert not torch.equal(full.weight, mixed.weight)
    assert torch.allclose(full.weight, mixed.weight, rtol=2e-2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nesterov": True}, r"^nesterov = true is a form of momentum: it takes optimizer = \"sgd\" and a momentum"),
        ({"nesterov": True, "optimizer": "sgd", "momentum": 0.0}, r"^nesterov = true"),
        ({"warmup_epochs": 2}, r"^warmup_epochs = 2 leaves none of the 2 epochs; take fewer\.$"),
    ],
)
def test_settings_that_no_training_can_follow(change, words):
    model, batches = scalar_problem()
    with pytest.raises(UserError, match=words):
        train(model, batches, **{"epochs": 2, "lr": 0.1, **change})


def test_a_checkpoint_with_another_kind_of_training_is_refused(tmp_path):
    train(Noisy(), small_batches(), epochs=2, lr=1e-2, average=0.9, checkpoint_dir=tmp_path)
    with pytest.raises(UserError, match=r"belongs to another training \(average 0\.9 there, None here\)"):
        train(Noisy(), small_batches(), epochs=2, lr=1e-2, checkpoint_dir=tmp_path)


def test_weight_decay_momentum_and_label_smoothing_reach_the_optimiser():
    results = set()
    for change in ({}, {"weight_decay": 0.1}, {"label_smoothing": 0.2}, {"momentum": 0.5}, {"optimizer": "sgd"}):
        model, batches = scalar_problem()
        train(model, batches, **({"epochs": 4, "lr": 0.1, "schedule": "constant"} | change))
        results.add(model.weight[0, 0].item())
    assert len(results) == 5


# ---------------------------------------------------------------- divergence


def poisoned(epoch: int, value: float):
    """Batches whose inputs carry `value` from that epoch on."""

    class Poisoned:
        def __init__(self) -> None:
            self.batches = small_batches()
            self.set_epoch = self.batches.set_epoch

        def __len__(self) -> int:
            return len(self.batches)

        def __iter__(self):
            for x, y in self.batches:
                yield (x * value if self.batches.epoch >= epoch else x), y

    return Poisoned()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_training_in_the_last_good_state(tmp_path, value):
    good, model = Noisy(), Noisy()

    def stop(row: dict) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(good, small_batches(), epochs=5, lr=1e-2, on_epoch=stop)
    with pytest.raises(
        UserError,
        match=r"^Training diverged in epoch 3: the loss became nan; the state after epoch 2 is kept\. "
        r"Try a smaller learning rate \(it is 0\.01\), say 0\.001\.$",
    ):
        train(model, poisoned(3, value), epochs=5, lr=1e-2, checkpoint_dir=tmp_path)
    assert same(state(model), state(good))
    assert not model.training
    # The checkpoint is the last good state: with clean data the run goes on from there.
    resumed, straight = Noisy(), Noisy()
    history = train(resumed, small_batches(), epochs=5, lr=1e-2, checkpoint_dir=tmp_path)
    train(straight, small_batches(), epochs=5, lr=1e-2)
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert same(state(resumed), state(straight))


def test_a_weight_that_is_no_number_is_not_saved(tmp_path):
    model, batches = scalar_problem()
    model.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(UserError, match=r"in epoch 1: weight is no longer finite; the model is back at its first"):
        train(model, batches, epochs=1, lr=0.1, checkpoint_dir=tmp_path)
    assert not model.weight.detach().any()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "words"), [("optimizer", r"^Unknown optimizer 'adamw'"), ("schedule", r"^Unknown sch")]
)
def test_unknown_choices(key, words):
    model, batches = scalar_problem()
    with pytest.raises(UserError, match=words):
        train(model, batches, **{"epochs": 1, "lr": 0.1, key: "adamw"})


# ---------------------------------------------------------------- accuracy


def test_accuracy_counts_samples_not_batches():
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    batches = [(scores[:2], torch.tensor([0, 1])), (scores[2:], torch.tensor([0]))]
    assert accuracy(nn.Identity(), batches) == pytest.approx(2 / 3)


def test_scores_that_are_no_numbers_are_wrong():
    scores = torch.tensor([[float("nan"), 0.0], [1.0, 0.0]])
    assert accuracy(nn.Identity(), [(scores, torch.tensor([0, 0]))]) == 0.5


def test_accuracy_leaves_every_parts_mode_as_it_was():
    model = Noisy().train()
    model.norm.eval()
    before = state(model)
    accuracy(model, small_batches())
    assert model.training
    assert not model.norm.training
    assert same(state(model), before)


def test_no_samples():
    with pytest.raises(UserError, match=r"no sample"):
        accuracy(nn.Identity(), [])
    model, batches = scalar_problem()
    history = train(model, batches, epochs=0, lr=0.1)
    assert history.empty
    assert list(history.columns) == ["epoch", "lr", "loss", "train_accuracy", "seconds"]
