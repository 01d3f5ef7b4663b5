import numpy as np
import pytest

from hwmodels import Device, UserError, spec_files
from hwmodels.devices.device import LognormalError, PolynomialError

GOOD = """
name = "mine"
g_min_s = 1e-6
g_max_s = 1e-4
levels = 4
read_voltage_v = 0.1
[programming_error]
kind = "lognormal"
sigma = 0.2
[sources]
g_min_s = "measured"
g_max_s = "measured"
levels = "measured"
read_voltage_v = "measured"
programming_error = "measured"
"""


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_presets_that_the_documentation_names_exist():
    wanted = {"ideal", "yuan2019", "hfox", "hfox-intel22", "taox-hfox", "neurram", "cmo-hfox", "pcm-like"}
    assert wanted | {"pcm-hermes", "isaac", "prime"} <= set(Device.names())
    assert Device.names() == sorted(Device.names())


@pytest.mark.parametrize("name", Device.names())
def test_every_preset_loads_and_cites_every_number(name):
    device = Device.load(name)
    assert device.name == name
    levels = device.level_conductances()
    assert levels.shape == (device.levels,)
    assert levels[0] == pytest.approx(device.g_min_s)
    assert levels[-1] == pytest.approx(device.g_max_s)
    assert np.all(np.diff(levels) > 0)
    for field in ("g_min_s", "g_max_s", "levels", "programming_error", "read_voltage_v"):
        assert device.sources[field].strip()
    for field in device.unverified:
        assert device.sources[field], "what is unverified carries a note"


def test_the_preset_of_the_paper():
    device = Device.load("yuan2019")
    assert (1 / device.g_max_s, 1 / device.g_min_s) == pytest.approx((1e6, 1e7))
    assert device.levels == 16
    assert device.idle == "open"
    assert device.programming_error == LognormalError(sigma=0.1)
    assert "FORMS" in device.sources["programming_error"]


def test_published_spreads_in_their_own_units():
    # Milo et al.: sigma [uS] = 4.782321 - 0.009107 G; CMO/HfOx: 0.0112185391 + 0.01129027418 G (G in uS)
    for name, at, expected in (("hfox", 100e-6, 4.782321 - 0.9107), ("cmo-hfox", 50e-6, 0.0112185391 + 0.564513709)):
        device = Device.load(name)
        assert isinstance(device.programming_error, PolynomialError)
        x = at / device.g_max_s
        sigma = sum(c * x**i for i, c in enumerate(device.programming_error.coeffs_s))
        assert sigma * 1e6 == pytest.approx(expected, rel=1e-6)


def test_names_match_in_any_case():
    assert Device.load("YUAN2019") == Device.load("yuan2019")


def test_a_misspelt_name_gets_the_nearest_one():
    with pytest.raises(UserError, match=r"^Unknown device 'hfx'\. Did you mean 'hfox'\?$"):
        Device.load("hfx")


def test_a_users_file_loads(tmp_path):
    path = written(tmp_path, GOOD)
    assert Device.load(path) == Device.load(str(path))
    assert Device.load(path).programming_error == LognormalError(sigma=0.2)


def test_explicit_levels_count_themselves(tmp_path):
    text = GOOD.replace("levels = 4", "level_g_s = [1e-6, 5e-6, 1e-4]", 1).replace("levels =", "level_g_s =", 1)
    device = Device.load(written(tmp_path, text))
    assert device.levels == 3
    assert device.level_conductances().tolist() == [1e-6, 5e-6, 1e-4]


def test_a_read_voltage_left_out_is_noted(tmp_path):
    text = GOOD.replace("read_voltage_v = 0.1\n", "").replace('read_voltage_v = "measured"\n', "")
    device = Device.load(written(tmp_path, text))
    assert device.read_voltage_v == 0.2
    assert "read_voltage_v" in device.unverified


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("g_min_s = 1e-6", "g_min_s = 1e-4", r"g_min_s = 0\.0001 is not below g_max_s = 0\.0001"),
        ("levels = 4", "levels = 1", r"levels = 1: Input should be greater than or equal to 2"),
        ("levels = 4", "levels = 4.5", r"levels = 4\.5: Input should be a valid integer"),
        ("levels = 4", "levels = true", r"levels = True: Input should be a valid integer"),
        ("g_max_s = 1e-4", "g_max_s = nan", r"g_max_s = nan: Input should be"),
        ("g_max_s = 1e-4", "g_max_s = -1.0", r"g_max_s = -1\.0: Input should be greater than 0"),
        ("g_max_s = 1e-4", 'g_max_s = "big"', r"g_max_s = 'big': Input should be a valid number"),
        ("levels = 4", "levels = 4\ng_mim_s = 1.0", r"unknown key 'g_mim_s'\. Did you mean 'g_min_s'\?"),
        ('kind = "lognormal"', 'kind = "lognormall"', r"programming_error.*'lognormal'"),
        ("sigma = 0.2", "sigmas = 0.2", r"unknown key 'programming_error\.sigmas'\. Did you mean 'sigma'\?"),
        (
            "sigma = 0.2",
            "sigma = -0.2",
            r"programming_error\.sigma = -0\.2: Input should be greater than or equal to 0",
        ),
        ('levels = "measured"\n', "", r'no source for levels\. Add the citation under \[sources\] \(levels = "…"\)'),
        ('levels = "measured"', 'level = "measured"\nlevels = "x"', r"Unknown field .*'level'\. Did you mean 'levels'"),
        ('name = "mine"\n', "", r"the key 'name' is missing"),
        ('name = "mine"', "name = ", r"is not valid TOML"),
        (
            "read_voltage_v = 0.1",
            'read_voltage_v = 0.1\nidle = "shut"',
            r"idle = .shut.: Input should be .open.",
        ),
    ],
)
def test_mistakes_in_a_file_name_the_file_the_key_and_the_way_out(tmp_path, old, new, words):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(UserError, match=words) as caught:
        Device.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("lrs", "hrs", "words"),
    [(1.2, 0.0, r"stuck_at_lrs = 1\.2"), (-0.1, 0.0, r"stuck_at_lrs = -0\.1"), (0.6, 0.6, r"1\.2 is above 1")],
)
def test_fault_rates_are_fractions_of_the_cells(lrs, hrs, words):
    with pytest.raises(UserError, match=words):
        Device.load("yuan2019").with_(stuck_at_lrs=lrs, stuck_at_hrs=hrs)


def test_several_mistakes_are_all_reported(tmp_path):
    text = GOOD.replace("levels = 4", "levels = 1\nfoo = 3").replace("sigma = 0.2", "sigma = -1.0")
    with pytest.raises(UserError) as caught:
        Device.load(written(tmp_path, text))
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all(any(key in line for line in lines[1:]) for key in ("levels = 1", "'foo'", "programming_error.sigma"))


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"^There is no device file 'no/such\.toml'"):
        Device.load("no/such.toml")


def test_with_changes_one_field_and_says_who_set_it():
    device = Device.load("hfox").with_(levels=8)
    assert device.levels == 8
    assert device.level_conductances().size == 8
    assert device.sources["levels"] == "set by the user on hfox"
    assert device.sources["g_max_s"] == Device.load("hfox").sources["g_max_s"]


def test_with_refuses_a_number_of_levels_that_the_measured_levels_contradict():
    device = Device(name="x", g_min_s=1e-6, g_max_s=1e-4, levels=2, level_g_s=(1e-6, 1e-4))
    with pytest.raises(UserError, match=r"levels = 8, but level_g_s lists 2 conductances: change both together"):
        device.with_(levels=8)
    assert device.with_(levels=8, level_g_s=None).level_conductances().size == 8


@pytest.mark.parametrize(
    ("levels", "words"), [((1e-4, 1e-6), "does not ascend"), ((1e-7, 1e-4), "beyond g_min_s"), ((1e-6, 1e-3), "beyond")]
)
def test_measured_levels_ascend_within_the_range(levels, words):
    device = Device(name="x", g_min_s=1e-6, g_max_s=1e-4, levels=2)
    with pytest.raises(UserError, match=words):
        device.with_(level_g_s=levels)


def test_with_refuses_unknown_fields():
    with pytest.raises(UserError, match=r"'level'\. Did you mean 'levels'\?"):
        Device.load("hfox").with_(level=8)


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_the_error_scales_by_finite_factors_only(factor):
    with pytest.raises(UserError, match="The factor on the programming error"):
        Device.load("hfox").scaled_error(factor)


def test_devices_are_values():
    assert Device.load("hfox") == Device.load("hfox")
    with pytest.raises(AttributeError):
        Device.load("hfox").levels = 3  # type: ignore[misc]


def test_every_preset_is_packaged_under_its_own_name():
    for name, item in spec_files.packaged("presets").items():
        assert f'name = "{name}"' in item.read_text(encoding="utf-8")
