import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hwmodels import Device, UserError, fit_device, program
from hwmodels.devices.device import ConstantError, NoError, TableError

TRUE = Device(name="true", g_min_s=2e-6, g_max_s=2e-5, levels=4, programming_error=ConstantError(sigma_s=4e-7))


def readings(n=500, bias=1.0):
    target = np.repeat(TRUE.level_conductances(), n).reshape(4, n)
    return pd.DataFrame(
        {"target_us": target.reshape(-1) * 1e6, "reading_us": bias * program(target, TRUE, 3).reshape(-1) * 1e6}
    )


def written(tmp_path, text, name="my device.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_readings_give_the_device_back():
    fit = fit_device(readings(n=5000), name="mine")
    assert fit.device.levels == 4
    assert fit.device.programming_error.kind == "table"
    np.testing.assert_allclose(fit.device.level_g_s, TRUE.level_conductances(), atol=5 * 4e-7 / np.sqrt(5000))
    np.testing.assert_allclose(fit.device.programming_error.sigma_s, 4e-7, rtol=5 / np.sqrt(2 * 5000))
    assert list(fit.table["readings"]) == [5000] * 4
    assert fit.table["ks_pvalue"].min() > 1e-3
    np.testing.assert_allclose(fit.table["g_mean_stderr_s"], 4e-7 / np.sqrt(5000), rtol=0.1)
    assert len(fit.residuals) == 20000
    assert fit.residuals["z"].std() == pytest.approx(1, abs=0.01)


def test_fitting_a_fit_changes_nothing():
    once = fit_device(readings(), name="mine")
    table = {"level": range(4), "g_mean_s": once.device.level_g_s, "g_sigma_s": once.device.programming_error.sigma_s}
    again = fit_device(table, name="mine")
    assert again.device.level_g_s == once.device.level_g_s
    assert again.device.programming_error == once.device.programming_error


def test_a_systematic_miss_goes_into_the_levels_and_is_shown():
    fit = fit_device(readings(bias=1.1))
    np.testing.assert_allclose(fit.table["bias_s"], 0.1 * fit.table["target_s"], atol=5e-7 / np.sqrt(500) * 5)


def test_readings_of_another_law_show_in_the_residuals():
    rng = np.random.default_rng(0)
    data = {
        "state": np.repeat([0, 1], 2000),
        "reading_s": np.concatenate([rng.exponential(1e-6, 2000), 5e-5 + rng.normal(0, 1e-6, 2000)]),
    }
    fit = fit_device(data)
    assert fit.table["ks_pvalue"][0] < 1e-6 < 1e-3 < fit.table["ks_pvalue"][1]


def test_a_file_of_states_loads_as_a_device(tmp_path):
    path = written(tmp_path, "# wafer 3\nlevel,g_mean_us,g_sigma_us\n1,30,0.5\n0,10,0.2\n2,60,0.8\n")
    device = Device.load(path)
    assert device == Device.load(str(path))
    assert device.name == "my-device"
    assert device.level_g_s == pytest.approx((10e-6, 30e-6, 60e-6))
    assert isinstance(device.programming_error, TableError)
    assert device.programming_error.g_s == device.level_g_s
    assert device.programming_error.sigma_s == pytest.approx((0.2e-6, 0.5e-6, 0.8e-6))
    assert "my device.csv" in device.sources["level_g_s"]
    assert "read_voltage_v" in device.unverified
    g = program(np.full((128, 128), device.level_g_s[1]), device, 1).reshape(-1)
    assert stats.kstest(g, stats.norm(30e-6, 0.5e-6).cdf).pvalue > 1e-3


def test_states_of_neurosim_load_and_say_what_was_assumed(tmp_path):
    fit = fit_device(written(tmp_path, "mean,std\n2.5e-5,1e-6\n3.3e-4,2e-6\n", "mem_states.csv"))
    assert fit.device.level_g_s == (2.5e-5, 3.3e-4)
    assert "NeuroSim" in fit.notes[0]
    assert "siemens" in fit.notes[0]


@pytest.mark.parametrize(
    "device", [*(Device.load(name) for name in Device.names()), fit_device(readings()).device], ids=lambda d: d.name
)
def test_every_device_writes_a_file_that_loads_back(device, tmp_path):
    from hwmodels.devices.fitting import device_toml

    assert Device.load(written(tmp_path, device_toml(device), "out.toml")) == device


def test_a_fit_writes_its_device(tmp_path):
    fit = fit_device(readings(), name="mine")
    assert Device.load(fit.write(tmp_path / "new" / "mine.toml")) == fit.device


def test_states_without_spread_are_exact():
    assert fit_device({"g_mean_us": [1.0, 2.0], "g_sigma_us": [0.0, 0.0]}).device.programming_error == NoError()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "level,g_mean_us,g_sigma_us\n0,10,1\n1,9,1\n",
            "level 1 has a mean of 9e-06 S, not above the 1e-05 S of level 0",
        ),
        ("level,g_mean_us,g_sigma_us\n0,10,1\n0,12,1\n", "a level stands in two rows"),
        ("g_mean_us,g_sigma_us\n10,1\n10,1\n", "the levels contradict their order"),
        ("g_mean_us,g_sigma_us\n10,1\n", "holds 1 state: a device needs at least 2"),
        ("g_mean_us,g_sigma_us\n-10,1\n20,1\n", "level 0 has a mean of -1e-05 S: a level conducts"),
        ("g_mean_us,g_sigma_us\n0,1\n20,1\n", "level 0 has a mean of 0 S: a level conducts"),
        ("g_mean_us,g_sigma_us\n10,-1\n20,1\n", "a spread is not negative"),
        ("g_mean_us,g_sigma_us\n10,1\n20,x\n", r"row 2 has g_sigma_us = 'x', which is no finite number"),
        ("g_mean_us,g_sigma_us\n10,1\nnan,1\n", r"row 2 has g_mean_us = 'nan'"),
        ("g_mean_us\n10\n20\n", "there is g_mean but no g_sigma"),
        ("g_mean_us,g_mean_s,g_sigma_s\n10,1,1\n20,1,1\n", "say the same in two units"),
        ("g,sigma\n1,2\n", "columns g, sigma, which fit no layout"),
        ("g_mean_uS,g_mean_uS\n1,2\n", "stands twice in the header"),
        ("g_mean_us,g_sigma_us\n1\n2,3\n", "row 1 has 1 entries under 2 columns"),
        ("g_mean_us,g_sigma_us\n", "holds no measurements"),
        ("mean,std\n3e-5,1e-6\n2e-5,1e-6\n", "the levels contradict their order"),
        (
            "state,reading_us\n" + "0,1\n" * 8 + "1,2\n" * 7,
            r"too few readings for a spread at state 1 \(7\); at least 8",
        ),
        ("target_us,reading_us\n" + "1,1\n" * 8 + "2,-2\n" * 8, "row 9 reads -2e-06 S: a conductance is not negative"),
        ("target_us,reading_us\n" + "1,5\n" * 8 + "2,4\n" * 8, "the levels contradict their order"),
        ("target_us,reading_us\n" + "1,5\n" * 8, "holds 1 state"),
        ("state,reading_us\n" + "0,0\n" * 8 + "1,4\n" * 8, "level 0 has a mean of 0 S"),
    ],
)
def test_too_little_and_contradictory_data_is_refused(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=words) as caught:
        Device.load(path)
    assert str(path) in str(caught.value)


def test_what_is_no_data_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"There is no file 'nowhere\.csv' of measured data"):
        Device.load("nowhere.csv")
    with pytest.raises(UserError, match="not int"):
        fit_device(3)
    binary = tmp_path / "x.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no UTF-8 text"):
        fit_device(binary)
