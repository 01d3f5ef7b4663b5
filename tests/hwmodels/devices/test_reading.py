import numpy as np
import pytest
import torch
from scipy import stats

from hwmodels import (
    Device,
    UserError,
    conductances_at,
    read_noise,
    read_noise_of_sum,
    read_sigma,
    telegraph_noise,
)
from hwmodels.devices import torch_twins
from hwmodels.devices.curves import constant
from hwmodels.devices.effects import ReadNoise, TelegraphNoise, Temperature

G_MIN, G_MAX = 1e-6, 1e-5
TRAPS = TelegraphNoise(amplitude=0.2, duty=0.3, share=0.5)


def device(**changes):
    return Device(name="test", g_min_s=G_MIN, g_max_s=G_MAX, levels=16, **changes)


@pytest.mark.parametrize(("of", "sigma"), [("g", 0.02 * 4e-6), ("g_max", 0.02 * G_MAX)])
def test_read_noise_is_normal_with_its_sigma(of, sigma):
    spec = device(read_noise=ReadNoise(of=of, curve=constant(0.02)))
    g = np.full((2, 128, 128), 4e-6)
    out = read_noise(g, spec, read=3, seed=1).reshape(-1)
    assert stats.kstest(out, stats.norm(4e-6, sigma).cdf).pvalue > 1e-3
    assert out.std() == pytest.approx(sigma, rel=5 / np.sqrt(out.size))
    assert np.all(read_sigma(g, spec) == pytest.approx(sigma))


def test_reads_are_independent_and_repeat_by_number():
    spec = device(read_noise=ReadNoise(of="g", curve=constant(0.02)))
    g = np.full((128, 128), 4e-6)
    reads = np.stack(
        [read_noise(g, spec, read=n, seed=s).reshape(-1) for n, s in ((0, 0), (1, 0), (2**24 - 1, 0), (0, 1))]
    )
    assert np.abs(np.corrcoef(reads) - np.eye(4)).max() < 5 / 128
    assert np.array_equal(read_noise(g, spec, read=1), reads[1].reshape(128, 128))


def test_noise_grows_with_time_as_published():
    # Nandakumar et al.: relative σ = 0.0088 x^-0.65 √ln((t + 250 ns) / 500 ns); x = 1, t = 1e6 s
    spec = Device.load("pcm-like")
    g = np.full((1, 1), spec.g_max_s)
    expected = 0.0088 * np.sqrt(np.log((1e6 + 250e-9) / 500e-9))
    assert read_sigma(g, spec, t_s=1e6)[0, 0] == pytest.approx(expected * spec.g_max_s, rel=1e-12)
    assert read_sigma(g, spec)[0, 0] == read_sigma(g, spec, t_s=20.0)[0, 0], "up to the first reading, its value"
    assert read_sigma(np.full((1, 1), 1e-12), spec, 20.0)[0, 0] == pytest.approx(
        0.2 * 1e-12 * np.sqrt(np.log((20 + 250e-9) / 500e-9))
    ), "capped at low conductance"


def test_cmo_noise_in_its_own_units():
    # K log10(G [uS]) √ln((t + 1 us) / 2 us) [uS]
    spec = Device.load("cmo-hfox")
    expected = 0.0277316483 * np.log10(50.0) * np.sqrt(np.log((3600 + 1e-6) / 2e-6))
    assert read_sigma(np.full((1, 1), 50e-6), spec, 3600.0)[0, 0] * 1e6 == pytest.approx(expected, rel=1e-6)
    assert read_sigma(np.full((1, 1), 0.5e-6), spec, 3600.0)[0, 0] == 0.0


def test_noise_of_a_sum_is_the_sum_of_the_noise():
    """The fast form against its slow twin: same mean, same variance, same law, for many reads of one array."""
    rng = np.random.default_rng(0)
    spec = device(read_noise=ReadNoise(of="g", curve=constant(0.05)))
    g = rng.uniform(G_MIN, G_MAX, size=(24, 5))
    v = np.tile(rng.uniform(-0.2, 0.2, size=24), (4000, 1))
    sigma = read_sigma(g, spec)
    fast = read_noise_of_sum(v, sigma, seed=7, array=2, read=100)
    slow = np.stack([v[0] @ (read_noise(g, spec, read=n, seed=7, array=2) - g) for n in range(4000)])
    exact = np.sqrt(v[0] ** 2 @ sigma**2)
    for column in range(5):
        law = stats.norm(0, exact[column])
        assert stats.kstest(fast[:, column], law.cdf).pvalue > 1e-3
        assert stats.kstest(slow[:, column], law.cdf).pvalue > 1e-3
        assert stats.ks_2samp(fast[:, column], slow[:, column]).pvalue > 1e-3
    assert np.abs(np.corrcoef(fast.T) - np.eye(5)).max() < 5 / np.sqrt(4000)
    assert abs(np.corrcoef(fast[1:, 0], fast[:-1, 0])[0, 1]) < 5 / np.sqrt(4000)


def test_noise_of_a_sum_in_batches_and_on_torch():
    rng = np.random.default_rng(1)
    v, sigma = rng.uniform(0, 0.2, size=(9, 6)), rng.uniform(0, 1e-7, size=(6, 8))
    place = {"seed": 3, "array": 1, "row": 4, "col": 2}
    whole = read_noise_of_sum(v, sigma, read=5, **place)
    parts = [read_noise_of_sum(v[i : i + 2], sigma, read=5 + i, **place) for i in range(0, 9, 2)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-13)
    columns = read_noise_of_sum(v, sigma[:, 3:], read=5, **(place | {"col": 5}))
    np.testing.assert_allclose(columns, whole[:, 3:], rtol=1e-13)
    twin = torch_twins.read_noise_of_sum(torch.as_tensor(v), torch.as_tensor(sigma), read=5, **place).numpy()
    np.testing.assert_allclose(twin, whole, rtol=1e-12, atol=1e-24)
    assert np.all(read_noise_of_sum(v, 0 * sigma) == 0)
    assert np.all(read_noise_of_sum(0 * v, sigma) == 0)
    with pytest.raises(UserError, match="with the same rows"):
        read_noise_of_sum(v, sigma.T)


def test_conductance_is_never_read_below_zero():
    spec = device(read_noise=ReadNoise(of="g", curve=constant(2.0)))
    out = read_noise(np.full((64, 64), G_MIN), spec, read=0)
    assert out.min() == 0.0
    assert np.count_nonzero(out == 0) / out.size == pytest.approx(stats.norm.cdf(-0.5), abs=0.04)


def test_traps_belong_to_cells_and_their_states_to_reads():
    spec = device(telegraph_noise=TRAPS)
    g = np.full((2, 128, 128), 4e-6)
    reads = np.stack([telegraph_noise(g, spec, read=n, seed=5) for n in range(40)])
    assert set(np.unique(reads)) == {4e-6, 4e-6 * (1 - 0.2)}
    low = reads < 4e-6
    trapped = low.any(axis=0)
    low_hi = stats.binom(trapped.size, 0.5 * (1 - 0.7**40)).ppf([1e-4, 1 - 1e-4])
    assert low_hi[0] <= trapped.sum() <= low_hi[1]
    duty = low[:, trapped].mean()
    assert duty == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / low[:, trapped].size))
    one, two = low[0][trapped], low[1][trapped]
    assert abs(np.corrcoef(one, two)[0, 1]) < 5 / np.sqrt(one.size), "states of two reads are independent"


def test_telegraph_faults_and_torch_agree_bit_for_bit():
    spec = device(telegraph_noise=TRAPS)
    g = np.random.default_rng(0).uniform(G_MIN, G_MAX, size=(3, 40, 50))
    fast = telegraph_noise(g, spec, read=9, seed=2)
    twin = torch_twins.conductances_at(torch.as_tensor(g), spec, read=9, seed=2).numpy()
    assert np.array_equal(fast, twin)
    assert np.array_equal(fast, conductances_at(g, spec, read=9, seed=2))


@pytest.mark.parametrize(
    "quiet",
    [
        device(telegraph_noise=TelegraphNoise(amplitude=0.0, duty=0.5)),
        device(telegraph_noise=TelegraphNoise(amplitude=0.5, duty=0.0)),
        device(telegraph_noise=TelegraphNoise(amplitude=0.5, duty=0.5, share=0.0)),
        device(read_noise=ReadNoise(of="g", curve=constant(0.0))),
        device(temperature=Temperature(per_kelvin=0.0)),
    ],
)
def test_effects_of_size_zero_do_nothing(quiet):
    g = np.random.default_rng(0).uniform(G_MIN, G_MAX, size=(30, 30))
    assert np.array_equal(conductances_at(g, quiet, t_s=1e3, temperature_k=400.0, read=1), g)


def test_temperature_scales_all_cells():
    spec = device(temperature=Temperature(per_kelvin=-2e-3, reference_k=300.0))
    g = np.full((3, 3), 4e-6)
    np.testing.assert_allclose(conductances_at(g, spec, temperature_k=350.0), 0.9 * g, rtol=1e-15)
    assert np.array_equal(conductances_at(g, spec, temperature_k=300.0), g)
    assert np.all(conductances_at(g, spec, temperature_k=1e4) == 0.0), "never below 0 S"


def test_faulty_cells_do_not_drift_but_are_noisy():
    from hwmodels import fault_map, program

    spec = Device.load("pcm-like").with_(stuck_at_lrs=0.2)
    g = program(np.full((64, 64), 10e-6), spec, seed=3)
    stuck = fault_map((64, 64), spec, seed=3) > 0
    drifted = conductances_at(g, spec, t_s=1e6, seed=3)
    assert np.all(drifted[stuck] == spec.g_max_s)
    assert np.all(drifted[~stuck] < g[~stuck])
    assert np.all(conductances_at(g, spec, t_s=1e6, seed=3, read=0)[stuck] != spec.g_max_s)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"read_noise": {"of": "g", "curve": {"kind": "powr", "factor": 1.0}}}, "read_noise"),
        ({"read_noise": {"of": "g", "curve": constant(0.1), "t_read_s": 1e-6}}, "belong together"),
        ({"read_noise": {"of": "g", "curve": constant(0.1), "t_read_s": 1e-6, "t0_s": 1e-7}}, "is not above t_read_s"),
        ({"telegraph_noise": {"amplitude": 2.0, "duty": 0.5}}, r"telegraph_noise\.amplitude = 2\.0"),
        ({"temperature": {"per_kelvin": 0.1, "reference_k": -1.0}}, r"temperature\.reference_k = -1\.0"),
    ],
)
def test_mistakes_in_a_noise_table_are_named(table, words):
    with pytest.raises(UserError, match=words):
        device().with_(**table)
