"""The state of a chip: it comes back bit for bit, and belongs to its placement."""

import pytest
import torch

import mapping
from hwmodels import Device
from hwmodels.errors import UserError


@pytest.mark.parametrize("noisy", [False, True])
def test_a_state_gives_the_same_chip_bit_for_bit(network, images, spec, noisy):
    noise = {"curve": {"kind": "polynomial", "coeffs": [0.05]}, "of": "g_max"}
    device = Device.load("yuan2019").with_(read_noise=noise if noisy else None)
    placement = mapping.place(network, spec.with_(device=device), images)
    chip = mapping.CrossbarNetwork(placement, seed=7)
    with torch.no_grad():
        chip(images)
        state = {key: value.clone() for key, value in chip.state_dict().items()}
        after = chip(images)
        other = mapping.CrossbarNetwork(placement, seed=1)
        assert not torch.equal(other(images), after)
        other.load_state_dict(state)
        assert other.seed == 7
        assert torch.equal(other(images), after)
    assert not any(key.endswith(".weight") and "0." in key for key in state)  # weights stand on cells alone


def test_the_state_of_another_placement_is_refused(network, images, spec):
    chip = mapping.CrossbarNetwork(mapping.place(network, spec, images))
    other = mapping.CrossbarNetwork(mapping.place(network, spec.with_(rows=8), images))
    with pytest.raises(UserError, match="belongs to another placement"):
        other.load_state_dict(chip.state_dict())
    broken = chip.state_dict() | {"_extra_state": torch.zeros(3, dtype=torch.uint8)}
    with pytest.raises(UserError, match="state of the chip is damaged"):
        chip.load_state_dict(broken)
