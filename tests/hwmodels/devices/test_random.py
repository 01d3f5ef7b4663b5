import numpy as np
import pytest
from scipy import stats

from hwmodels.devices import plain, torch_twins
from hwmodels.devices.cells import Cells, cell_words
from hwmodels.devices.random import Purpose, block_words, key_of_seed, philox4x32
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
    from hwmodels.devices import random_kernels

    found = random_kernels.philox4x32(*(np.uint64(word) for word in (*counter, *key)))
    assert tuple(int(word) for word in found) == words


def test_words_are_uniform():
    words = philox4x32(np.stack(np.meshgrid(np.arange(100), np.arange(100), [0], [0]), axis=-1).reshape(-1, 4), (1, 2))
    assert stats.kstest(words.reshape(-1) / 2**32, "uniform").pvalue > 1e-3


def test_counter_is_block_row_array_purpose_and_read():
    got = block_words(Purpose.FAULT, 7 + (9 << 32), (np.array(3), np.array(4), np.array(5)), read=6)
    assert np.array_equal(got, philox4x32(np.array([5, 4, 3, (2 << 24) + 6]), (7, 9)))


def test_a_cell_takes_its_word_of_the_block_of_four_columns():
    words = cell_words(Purpose.FAULT, Cells(7, (3, 4, 0), (1, 1, 23)), read=6)[0, 0]
    blocks = [philox4x32(np.array([b, 4, 3, (2 << 24) + 6]), (7, 0)) for b in range(6)]
    assert words.tolist() == [blocks[c // 4][c % 4] for c in range(23)]
    assert cell_words(Purpose.FAULT, Cells(7, (3, 4, 5), (1, 1, 0))).shape == (1, 1, 0)


@pytest.mark.parametrize("first", [0, 1, 2, 3, 2**32 - 60])
def test_compiled_words_are_numpys_from_any_column_on(first):
    from hwmodels.devices import stage_kernels

    for cols in (0, 1, 2, 3, 4, 5, 7, 8, 31, 60):
        cells = Cells(5 << 33, (2**32 - 2, 7, first), (2, 3, cols))
        out = np.empty(cells.shape, dtype=np.uint32)
        origin, key, last = cells.counters(Purpose.TRAP, read=9)
        stage_kernels.cell_words(out, origin, key, last[0])
        assert np.array_equal(out, cell_words(Purpose.TRAP, cells, read=9))
        assert np.array_equal(out, plain.words(torch_twins.backend("cpu"), Purpose.TRAP, cells, 9).numpy())


@pytest.mark.parametrize("first", [0, 1, 2, 3])
def test_normal_draws_of_kernel_numpy_and_torch_agree_and_pieces_are_the_same_bits(first):
    from hwmodels.devices import stage_kernels

    whole = np.empty((2, 70))
    origin, key, last = Cells(3, (0, 0, 0), (1, 1, 70)).counters(Purpose.READ)
    stage_kernels.column_normals(whole, origin, key, last[0])
    for cols in (0, 1, 2, 3, 4, 5, 6, 7, 17, 64):
        cells = Cells(3, (0, 0, first), (1, 1, cols))
        part = np.empty((2, cols))
        stage_kernels.column_normals(part, cells.counters(Purpose.READ)[0], key, last[0])
        assert np.array_equal(part, whole[:, first : first + cols]), "vector lanes or not, the same bits"
        for b in (plain.NUMPY, torch_twins.backend("cpu")):
            twin = np.asarray(plain.normals(b, Purpose.READ, cells, 1))[0, 0]
            np.testing.assert_allclose(part[1], twin, rtol=1e-13, atol=1e-14)


DRAWS = Cells(1, (0, 0, 0), (1, 1000, 1000))
LIMIT = 5 / np.sqrt(DRAWS.shape[1] * DRAWS.shape[2] / 4)


def test_purposes_reads_and_seeds_do_not_share_draws():
    cells = Cells(0, (0, 0, 0), (1, 50, 52))
    other = Cells(1, (0, 0, 0), (1, 50, 52))
    uses = [(Purpose.PROGRAMMING, cells, 0), (Purpose.FAULT, cells, 0), (Purpose.PROGRAMMING, cells, 1)]
    uses.append((Purpose.PROGRAMMING, other, 0))
    for draw in (cell_words, lambda *use: plain.normals(plain.NUMPY, *use)):
        correlation = np.corrcoef([draw(*use).reshape(-1) for use in uses])
        assert np.abs(correlation - np.eye(4)).max() < 5 / np.sqrt(2600)


def test_words_of_a_block_are_uniform_and_independent():
    words = cell_words(Purpose.FAULT, DRAWS).reshape(-1, 4)
    for word in words.T:
        assert stats.kstest(word / 2**32, "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(words.T) - np.eye(4)).max() < LIMIT
    # four cells of a block with faults at 20 %: each of the 16 patterns as often as independence says
    pattern = (words < 0.2 * 2**32) @ np.array([8, 4, 2, 1])
    ones = np.array([bin(k).count("1") for k in range(16)])
    expected = len(words) * 0.2**ones * 0.8 ** (4 - ones)
    assert stats.chisquare(np.bincount(pattern, minlength=16), expected).pvalue > 1e-3


def test_normal_draws_are_standard_normal():
    z = plain.normals(plain.NUMPY, Purpose.PROGRAMMING, DRAWS).reshape(-1)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    moments = [z.mean(), (z**2).mean(), (z**3).mean(), (z**4).mean()]
    for found, expected, variance in zip(moments, (0, 1, 0, 3), (1, 2, 15, 96), strict=True):
        assert abs(found - expected) < 5 * np.sqrt(variance / z.size)
    for limit in (3.0, 4.0):  # the tails, one by one
        low, high = stats.binom(z.size, stats.norm.sf(limit)).ppf([1e-4, 1 - 1e-4])
        assert low <= np.count_nonzero(z > limit) <= high
        assert low <= np.count_nonzero(z < -limit) <= high


@pytest.mark.parametrize(("one", "other"), [(0, 1), (2, 3), (0, 2), (1, 2), (0, 3)])
def test_neighbours_normal_draws_are_independent(one, other):
    """Cosine and sine of one pair share their radius: linear, squared and joint-rank independence are all asked for."""
    z = plain.normals(plain.NUMPY, Purpose.PROGRAMMING, DRAWS).reshape(-1, 4)
    a, b = z[:, one], z[:, other]
    for f in (lambda x: x, np.square, np.abs, lambda x: x**3 / np.sqrt(15)):
        assert abs(np.corrcoef(f(a), f(b))[0, 1]) < LIMIT * 2
    cells = (np.floor(stats.norm.cdf(v) * 8).astype(int) for v in (a, b))
    joint = np.bincount(np.ravel_multi_index(tuple(cells), (8, 8)), minlength=64)
    assert stats.chisquare(joint).pvalue > 1e-3
    assert stats.kstest((a + b) / np.sqrt(2), "norm").pvalue > 1e-3
    assert stats.kstest(np.arctan2(b, a) / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3


def test_neighbours_across_blocks_rows_and_arrays_are_independent():
    z = plain.normals(plain.NUMPY, Purpose.PROGRAMMING, Cells(4, (0, 0, 0), (2, 400, 400)))
    for a, b in ((z[..., 3:-1:4], z[..., 4::4]), (z[:, 1:], z[:, :-1]), (z[1], z[0])):
        assert abs(np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1]) < 5 / np.sqrt(a.size)


def test_normal_draws_are_finite_at_the_extreme_words():
    words = np.array([[0, 0, 0, 2**31], [2**32 - 1, 0, 2**32 - 1, 2**30]], dtype=np.uint32)
    z = plain.normals_of(plain.NUMPY, words)
    assert np.all(np.isfinite(z))
    assert z[0, 0] == pytest.approx(np.sqrt(66 * np.log(2)))
    assert z[0, 2] == pytest.approx(-z[0, 0])
    assert 0 < z[1, 0] < 1e-4
    assert 0 < z[1, 3] < 1e-4


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", None, True])
def test_seeds_that_are_no_whole_number_are_refused(seed):
    with pytest.raises(UserError, match=r"^A seed is a whole number from 0 to 2\*\*64 - 1, not"):
        key_of_seed(seed)


def test_a_seed_has_two_words():
    assert key_of_seed(2**64 - 1) == (2**32 - 1, 2**32 - 1)
    assert key_of_seed(np.int64(5)) == (5, 0)


def test_the_kernels_functions_are_numpys_to_the_last_digits():
    from hwmodels.devices import elementary_kernels as kernels

    rng = np.random.default_rng(0)
    edges = [0, 1, 2**29, 2**30 - 1, 2**30, 2**31, 3 * 2**30, 2**32 - 1]
    for word in [*edges, *rng.integers(0, 2**32, 300).tolist()]:
        u = (word + 0.5) / 2**32
        assert kernels.logarithm(2.0 * word + 1.0, 33) == pytest.approx(np.log(u), rel=1e-15, abs=1e-26)
        assert kernels.as_real(np.int64(-word)) == -word
        angle = 2 * np.pi * word / 2**32
        expected = pytest.approx((np.cos(angle), np.sin(angle)), abs=1e-15)
        assert kernels.cosine_and_sine_of_turn(np.uint64(word)) == expected
    for y in rng.uniform(-50, 50, 300):
        assert kernels.exponential(y) == pytest.approx(np.exp(y), rel=1e-15)
        assert kernels.logarithm(np.exp(y), 0) == pytest.approx(np.log(np.exp(y)), rel=1e-15)
    for x in (2.3e-308, 1e-300, 1.0, 1e300):
        assert kernels.logarithm(x, 0) == pytest.approx(np.log(x), rel=1e-15)
    assert kernels.cosine_and_sine_of_turn(np.uint64(2**30)) == (0.0, 1.0)
    assert kernels.cosine_and_sine_of_turn(np.uint64(2**31)) == (-1.0, 0.0)
    assert kernels.exponential(0.0) == 1.0
    assert kernels.exponential(1e9) == pytest.approx(np.exp(700.0))
    assert kernels.exponential(-1e9) == pytest.approx(np.exp(-700.0))
