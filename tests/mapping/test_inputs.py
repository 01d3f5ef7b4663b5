import pytest
import torch
from torch import nn

import mapping
from hwmodels.errors import UserError
from mapping.inputs import Arguments


class Named(nn.Module):
    """Takes its inputs by keyword, a plain value among them, and gives a dictionary."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, *, first, second, double=False):
        y = self.fc(first + second)
        return {"y": 2 * y if double else y, "name": "y"}


def test_a_mapping_is_passed_by_keyword(ideal):
    example = {"first": torch.randn(4, 3), "second": torch.randn(4, 3), "double": True}
    placement = mapping.place(Named(), ideal, example)
    assert placement.layers["fc"].shape.positions == 1
    with torch.no_grad():
        found = mapping.CrossbarNetwork(placement)(**example)
        assert found["name"] == "y"
        torch.testing.assert_close(found["y"], placement.reference()(**example)["y"])


def test_the_batch_may_stand_on_another_axis(ideal):
    x = torch.randn(7, 3, 5)
    placement = mapping.place(nn.GRU(5, 4), ideal, x, batch_axis=1)
    assert {name: layer.shape.positions for name, layer in placement.layers.items()} == {
        "weight_ih_l0": 7,
        "weight_hh_l0": 7,
    }
    assert placement.macs_total == 7 * (5 + 4) * 12
    with pytest.raises(UserError, match="batch_axis = 3 is not an axis"):
        mapping.place(nn.GRU(5, 4), ideal, x, batch_axis=3)


@pytest.mark.parametrize(
    ("example", "told"),
    [
        ([torch.ones(2)], "a mapping from keywords to tensors, not a list"),
        ({"flag": True}, "not a dict"),
        ((), "not a tuple"),
        (torch.tensor(1.0), r"shape \(\) has no samples"),
        ({"x": torch.ones(0, 3)}, r"shape \(0, 3\) has no samples"),
        ({"x": torch.tensor([[float("nan")]])}, "NaN or infinite"),
    ],
)
def test_what_is_no_example_is_refused(example, told):
    with pytest.raises(UserError, match=told):
        Arguments.of(example)
