import torch
from torch import nn

from admm.history import live_cols, live_rows, per_layer


def test_rows_and_columns_are_counted_on_the_lowered_matrices():
    model = nn.Sequential(nn.Conv2d(4, 6, 2, groups=2), nn.Linear(5, 3))
    conv, linear = torch.zeros(6, 2, 2, 2, dtype=torch.bool), torch.zeros(3, 5, dtype=torch.bool)
    conv[0, 1, 0, 1] = conv[4, 1, 0, 1] = conv[5, 1, 0, 1] = True  # the same row in both groups: two word lines
    linear[1, 2:4] = True
    cost = per_layer(model, {"rows": live_rows, "cols": live_cols, "weights": lambda live: live.sum()})
    assert cost({"0": conv, "1": linear}) == {"rows": 4.0, "cols": 4.0, "weights": 5.0}
