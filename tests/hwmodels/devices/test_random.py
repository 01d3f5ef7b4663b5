import numpy as np
import pytest
from scipy import stats

from hwmodels.devices.random import Purpose, cell_words, key_of_seed, philox4x32, standard_normal
from hwmodels.errors import UserError

# Known answers for philox4x32-10 from the Random123 distribution (kat_vectors): counter, key, words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_numpy_philox_gives_the_published_words(counter, key, words):
    assert philox4x32(np.array(counter), key).tolist() == list(words)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_compiled_philox_gives_the_published_words(counter, key, words):
    from hwmodels.devices import mismatch_kernels

    found = mismatch_kernels.philox4x32(*(np.uint64(word) for word in (*counter, *key)))
    assert tuple(int(word) for word in found) == words


def test_words_are_uniform():
    words = philox4x32(np.stack(np.meshgrid(np.arange(100), np.arange(100), [0], [0]), axis=-1).reshape(-1, 4), (1, 2))
    assert stats.kstest(words.reshape(-1) / 2**32, "uniform").pvalue > 1e-3


def test_counter_is_column_row_array_purpose_and_read():
    got = cell_words(Purpose.FAULT, 7 + (9 << 32), (np.array(3), np.array(4), np.array(5)), read=6)
    assert np.array_equal(got, philox4x32(np.array([5, 4, 3, (2 << 24) + 6]), (7, 9)))


def test_purposes_and_reads_do_not_share_draws():
    place = (np.array(0), np.arange(50)[:, None], np.arange(50))
    draws = [
        cell_words(purpose, 0, place, read)[..., 0].reshape(-1)
        for purpose, read in [(Purpose.PROGRAMMING, 0), (Purpose.FAULT, 0), (Purpose.PROGRAMMING, 1)]
    ]
    correlation = np.corrcoef(draws)
    assert np.abs(correlation - np.eye(3)).max() < 5 / np.sqrt(2500)


def test_normal_draws_are_standard_normal():
    words = cell_words(Purpose.PROGRAMMING, 1, (np.array(0), np.arange(300)[:, None], np.arange(300)))
    z = standard_normal(words).reshape(-1)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert abs(z.std() - 1) < 5 / np.sqrt(2 * z.size)


def test_normal_draws_are_finite_at_the_extreme_words():
    words = np.array([[0, 0, 0, 0], [0, 2**31, 0, 0], [2**32 - 1, 0, 0, 0]], dtype=np.uint32)
    z = standard_normal(words)
    assert np.all(np.isfinite(z))
    assert z[0] == pytest.approx(np.sqrt(66 * np.log(2)))
    assert z[1] == pytest.approx(-z[0])
    assert 0 < z[2] < 1e-4


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", None, True])
def test_seeds_that_are_no_whole_number_are_refused(seed):
    with pytest.raises(UserError, match=r"^A seed is a whole number from 0 to 2\*\*64 - 1, not"):
        key_of_seed(seed)


def test_a_seed_has_two_words():
    assert key_of_seed(2**64 - 1) == (2**32 - 1, 2**32 - 1)
    assert key_of_seed(np.int64(5)) == (5, 0)


def test_the_kernels_functions_are_numpys_to_the_last_digits():
    from hwmodels.devices import mismatch_kernels as kernels

    rng = np.random.default_rng(0)
    edges = [0, 1, 2**29, 2**30 - 1, 2**30, 2**31, 3 * 2**30, 2**32 - 1]
    for word in [*edges, *rng.integers(0, 2**32, 300).tolist()]:
        u = (word + 0.5) / 2**32
        assert kernels.minus_log(np.uint64(word)) == pytest.approx(-np.log(u), rel=1e-15, abs=1e-26)
        assert kernels.cosine_of_turn(np.uint64(word)) == pytest.approx(np.cos(2 * np.pi * word / 2**32), abs=1e-15)
    for y in rng.uniform(-50, 50, 300):
        assert kernels.exponential(y) == pytest.approx(np.exp(y), rel=1e-15)
    assert kernels.cosine_of_turn(np.uint64(2**30)) == 0.0
    assert kernels.exponential(0.0) == 1.0
    assert kernels.exponential(1e9) == pytest.approx(np.exp(700.0))
    assert kernels.exponential(-1e9) == pytest.approx(np.exp(-700.0))
