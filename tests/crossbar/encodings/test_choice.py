import numpy as np
import pytest

from crossbar.encodings import choice


@pytest.mark.parametrize("radices", [(3,), (4, 3), (3, 3)])
def test_levels_without_complements_cannot_be_flipped(radices):
    g = np.array([1.0, 1.5, 3.0, 4.0]) * 1e-6
    with pytest.raises(ValueError, match="levels whose complements add up to one sum"):
        choice.check_complements(g, radices, "mine")


def test_symmetric_levels_can_be_flipped_though_they_are_uneven():
    choice.check_complements(np.array([1.0, 1.5, 3.5, 4.0]) * 1e-6, (4,), "mine")


def test_an_encoding_is_made_once():
    made = [choice.encoder((1e-6, 2e-6), (2, 2), "offset", ("analog",)) for _ in range(2)]
    assert made[0] is made[1]
