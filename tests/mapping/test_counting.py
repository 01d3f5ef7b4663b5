import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mapping.counting import WorkCounter


def _count(network, x, mapped=()):
    counter = WorkCounter(network, set(mapped))
    handles = list(counter.hooks(network))
    with torch.no_grad(), counter:
        network(x)
    for handle in handles:
        handle.remove()
    return counter


class Inner(nn.Module):
    """Work of its own beside a layer."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        y = self.fc(x)
        return torch.cat([y, torch.tanh(y)], dim=1).view(-1, 2, 4).transpose(1, 2).contiguous()


def test_work_is_that_of_the_module_that_computes_it():
    net = nn.Sequential(Inner(), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    counter = _count(net, torch.randn(5, 6), mapped=("3",))
    assert counter.macs_mapped == 5 * 8 * 3
    assert {name: (work.macs, dict(work.operations)) for name, work in counter.work.items()} == {
        "0.fc": (5 * 6 * 4, {}),
        "0": (0, {"tanh": 20}),  # joining, viewing and copying compute nothing
        "1": (0, {"relu": 40}),
    }
    assert counter.macs_digital == 5 * 6 * 4
    assert counter.direct == {"0.fc.weight": 120, "0.fc.bias": 120}


def test_fused_attention_is_counted_on_the_cpu_too():
    class Scores(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    counter = _count(Scores(), torch.randn(2, 3, 7, 4))
    assert counter.macs_digital == 2 * (2 * 3 * 7 * 7 * 4)  # scores, and their sum of values


def test_products_are_counted_as_torchs_own_counter_does():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, groups=2), nn.ConvTranspose2d(4, 3, 2, 2), nn.Flatten(), nn.LazyLinear(5)
    )
    x = torch.randn(2, 2, 9, 9)
    net(x)
    with torch.no_grad(), FlopCounterMode(display=False) as wanted:
        net(x)
    assert 2 * _count(net, x).macs_digital == wanted.get_total_flops()
