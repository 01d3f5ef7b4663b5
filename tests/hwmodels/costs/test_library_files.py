import pytest

from hwmodels import Library, UserError

MINE = 'name = "mine"\nbase = "isaac-32nm"\n'
POWER = '{ value = 3.0, unit = "mW", source = "our chip" }'


def written(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_extends_a_packaged_library(tmp_path):
    text = MINE + f'drop = ["router"]\nnotes = ["Measured on our bench."]\n[adc.bits.8]\npower = {POWER}\n'
    library, base = Library.load(written(tmp_path, text)), Library.load("isaac-32nm")
    assert library.name == "mine"
    # the number is replaced whole: nothing of the base's range, node or source stays
    power = library.adc.bits[8].power
    assert (power.value, power.source, power.low, power.node_nm) == (3.0, "our chip", None, 0.0)
    assert library.adc.bits[8].area == base.adc.bits[8].area
    assert library.adc.bits[4] == base.adc.bits[4]
    assert library.router is None
    assert base.router is not None
    assert library.buffer == base.buffer
    assert library.notes[: len(base.notes)] == base.notes
    assert library.notes[-2:] == ("Built on the library isaac-32nm", "Measured on our bench.")


def test_bases_may_stand_beside_the_file_and_on_one_another(tmp_path):
    written(tmp_path, MINE.replace("mine", "below"), "below.toml")
    above = written(tmp_path, 'name = "above"\nbase = "below.toml"\nadc_model = "andrulis"\n', "above.toml")
    library = Library.load(above)
    assert library.adc_model == "andrulis"
    assert library.cell == Library.load("isaac-32nm").cell


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'name = "mine"\nbase = "isac-32nm"\n',
            r"base = 'isac-32nm': Unknown library 'isac-32nm'\. Did you mean 'isaac",
        ),
        ('name = "mine"\nbase = "nowhere.toml"\n', r"base = 'nowhere\.toml': There is no library file"),
        ('name = "mine"\nbase = 3\n', "'base' is the name or path of a library"),
        ('name = "mine"\ndrop = ["router"]\n', "there is no 'base'"),
        (MINE + 'drop = ["ruter"]\n', r"drop = 'ruter' is no part of 'isaac-32nm'\. Did you mean 'router'\?"),
        (MINE + 'drop = "router"\n', "'drop' a list of names"),
        (MINE + '[adc.bits.8]\npower = { value = 3.0, unit = "mW" }\n', r"adc\.bits\.8\.power\.source' is missing"),
        (MINE + f"[adc.bits.8]\npwer = {POWER}\n", r"unknown key 'adc\.bits\.8\.pwer'\. Did you mean 'power'\?"),
        (MINE + f"[bufer]\npower = {POWER}\n", r"unknown key 'bufer'\. Did you mean 'buffer'\?"),
        (MINE + 'adc_model = "walden"\n', "adc_model"),
        (MINE + '[adc.bits.8]\npower = { value = -3.0, unit = "mW", source = "s" }\n', r"power\.value = -3\.0"),
        (MINE + '[adc.bits.8]\npower = { value = 3.0, unit = "mWatt", source = "s" }\n', "Unknown unit 'mWatt'"),
        (
            MINE + '[adc.bits.8]\npower = { value = 3.0, unit = "mW", source = "s", low = 4.0, high = 2.0 }\n',
            r"low = 4\.0 is above high = 2\.0",
        ),
        (MINE + '[router]\nserves = { value = 0, unit = "arrays", source = "s" }\n', "must be above 0"),
        (MINE + '[adc]\nrate = { value = 0.0, unit = "GS/s", source = "s" }\n', r"adc\.rate.*must be above 0"),
        (MINE + '[reading]\ntime = { value = 1.0, unit = "ns", source = "s", low = 0.0 }\n', "must be above 0"),
    ],
)
def test_mistakes_name_the_file_and_the_way_out(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=words) as caught:
        Library.load(path)
    assert "mine.toml" in str(caught.value)


def test_bases_that_go_round_are_refused(tmp_path):
    written(tmp_path, 'name = "a"\nbase = "b.toml"\n', "a.toml")
    written(tmp_path, 'name = "b"\nbase = "a.toml"\n', "b.toml")
    with pytest.raises(UserError, match=r"go round in a circle: .*a\.toml → .*b\.toml → .*a\.toml"):
        Library.load(tmp_path / "a.toml")
    itself = written(tmp_path, 'name = "c"\nbase = "c.toml"\n', "c.toml")
    with pytest.raises(UserError, match="circle"):
        Library.load(itself)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINE + 'drop = ["dac"]\n[dac]\nrate = { value = 1.0, unit = "GS/s", source = "s" }\n', "at least one driver"),
        (MINE + 'drop = ["adc"]\n[adc]\nrate = { value = 1.0, unit = "GS/s", source = "s" }\n', "adc.bits lists no"),
        (
            MINE + 'adc_model = "isaac"\ndrop = ["adc"]\n[adc]\nrate = { value = 1.0, unit = "GS/s", source = "s" }\n',
            "scales the 8-bit converter",
        ),
    ],
)
def test_converters_that_are_missing(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        Library.load(written(tmp_path, text))
