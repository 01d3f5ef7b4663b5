"""A tiny real problem: 400 of scikit-learn's handwritten digits, and networks that learn them in a second."""

import pytest
import torch
from torch import nn


class Batches:
    """Re-iterable batches, shuffled by the epoch number alone, as `compress` likes them."""

    def __init__(self, inputs, targets, size=50):
        self.inputs, self.targets, self.size, self.epoch, self.seen = inputs, targets, size, 0, []

    def set_epoch(self, epoch):
        self.epoch = epoch
        self.seen.append(epoch)

    def __iter__(self):
        order = torch.randperm(len(self.inputs), generator=torch.Generator().manual_seed(self.epoch))
        for part in order.split(self.size):
            yield self.inputs[part], self.targets[part]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def digits():
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    inputs = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return inputs[:400], torch.tensor(targets[:400], dtype=torch.int64)


@pytest.fixture
def batches(digits):
    return Batches(*digits)


@pytest.fixture
def evaluate(digits):
    def accuracy(model):
        assert not model.training
        return float((model(digits[0]).argmax(1) == digits[1]).float().mean())

    return accuracy


def train(model, batches, epochs=8):
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        for inputs, targets in batches:
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimiser.step()
    return model


@pytest.fixture(scope="session")
def convolutional(digits):
    """A trained network with a plain, a grouped and a linear layer, batch norm and dropout. Do not change it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # this fixture is made before `one_thread` of its first test
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(192, 10),
        )
        trained = train(model, Batches(*digits)).eval()
    torch.set_num_threads(threads)
    return trained
