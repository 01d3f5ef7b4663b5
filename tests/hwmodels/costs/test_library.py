import dataclasses

import pytest

from hwmodels import Library, UserError
from hwmodels.costs.library import Part
from hwmodels.costs.units import to_si

ISAAC = Library.load("isaac-32nm")
FORMS = Library.load("forms-32nm")
CORE = ("sample_hold", "shift_add", "output_register", "input_register")
TILE = ("buffer", "bus", "accumulator", "adder", "activation", "pooling")

GOOD = """
name = "mine"
[reading]
voltage = { value = 0.2, unit = "V", source = "s" }
time = { value = 100.0, unit = "ns", source = "s" }
[cell]
area = { value = 1.0, unit = "um2", source = "s" }
[dac]
rate = { value = 10.0, unit = "MS/s", source = "s" }
[dac.bits.1]
area = { value = 1.0, unit = "um2", source = "s" }
power = { value = 1.0, unit = "uW", source = "s" }
[adc]
rate = { value = 1.0, unit = "GS/s", source = "s" }
[adc.bits.8]
area = { value = 1.0, unit = "um2", source = "s" }
power = { value = 1.0, unit = "mW", source = "s", low = 0.5, high = 2.0, note = "n" }
"""


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("unit", "dimension", "factor"),
    [
        ("um2", "m2", 1e-12),
        ("mm2", "m2", 1e-6),
        ("pJ/bit", "J", 1e-12),
        ("fJ/sample", "J", 1e-15),
        ("mW", "W", 1e-3),
        ("GS/s", "1/s", 1e9),
        ("MHz", "1/s", 1e6),
        ("ns", "s", 1e-9),
        ("V", "V", 1.0),
        ("rows", "1", 1.0),
    ],
)
def test_units_become_si(unit, dimension, factor):
    assert to_si(unit)[0] == dimension
    assert to_si(unit)[1] == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize("unit", ["", "furlong", "um3", "pJ/furlong", "xW", "/bit", "um2/um2", "mm", "W2"])
def test_unknown_units_are_refused(unit):
    with pytest.raises(UserError, match=r"^Unknown unit"):
        to_si(unit)


@pytest.mark.parametrize("name", Library.names())
def test_every_library_loads_and_cites_every_number(name):
    library = Library.load(name)
    assert library.name == name
    for component, quantity, number in library.quantities():
        assert number.source.strip(), (component, quantity)
        assert number.si >= 0


def core(library: Library, converters: int) -> tuple[float, float]:
    """Power [W] and area [m²] of one core of the printed machine, from its parts."""
    rows, cells = 8 * 128, 8 * 128 * 128
    assert library.cell.printed_power is not None
    power = library.cell.printed_power.si * library.cell.share * cells
    area = library.cell.area.si * library.cell.share * cells
    adc = next(part for bits, part in library.adc.bits.items() if bits == (8 if library is ISAAC else 4))
    counts = [(adc, converters), (library.dac.bits[1], rows)]
    counts += [(part, rows) for name in CORE if (part := getattr(library, name))]
    for part, count in counts:
        power += part.power.si * part.share * count
        area += part.area.si * part.share * count
    return power, area


def test_isaac_table_1_recomputed_from_the_library():
    power, area = core(ISAAC, converters=8)
    assert power * 1e3 == pytest.approx(24.08, rel=3e-3)
    assert area * 1e6 == pytest.approx(0.01312, rel=3e-3)
    organisation = ISAAC.organisation
    assert organisation is not None
    router = ISAAC.router
    assert router is not None
    shared = organisation.tiles_per_router.si
    tile_power = 12 * power + router.power.si / shared + sum(getattr(ISAAC, name).power.si for name in TILE)
    tile_area = 12 * area + router.area.si / shared + sum(getattr(ISAAC, name).area.si for name in TILE)
    assert tile_power * 1e3 == pytest.approx(329.8, rel=3e-3)
    assert tile_area * 1e6 == pytest.approx(0.372, rel=3e-3)
    tiles, links = organisation.tiles_per_chip.si, ISAAC.extra["hypertransport"]
    assert tiles * tile_power + links.power.si == pytest.approx(65.8, rel=3e-3)
    assert (tiles * tile_area + links.area.si) * 1e6 == pytest.approx(85.4, rel=3e-3)


def test_isaac_throughput_recomputed_from_the_library():
    organisation = ISAAC.organisation
    assert organisation is not None
    arrays = organisation.tiles_per_chip.si * organisation.cores_per_tile.si * organisation.arrays_per_core.si
    weights = organisation.array_rows.si * organisation.array_cols.si / 8  # eight 2-bit cells a 16-bit weight
    gops = arrays * 2 * weights / (16 * ISAAC.reading.time.si) / 1e9
    assert gops == pytest.approx(41288, rel=3e-3)
    # one converter drains the 128 columns of its array within one read
    assert organisation.array_cols.si / ISAAC.adc.rate.si == pytest.approx(ISAAC.reading.time.si)


def test_forms_tables_3_and_4_recomputed_from_the_library():
    power, _ = core(FORMS, converters=32)
    assert 12 * power * 1e3 == pytest.approx(280.05, rel=3e-3)
    assert FORMS.buffer is not None
    tile = 12 * power + FORMS.buffer.power.si
    extra = 12 * (FORMS.extra["zero_skip"].power.si + FORMS.extra["sign_indicator"].power.si)
    assert (tile + extra) * 1e3 == pytest.approx(333.1, rel=3e-3)
    assert 168 * (tile + extra) + FORMS.extra["hypertransport"].power.si == pytest.approx(66.3608, rel=3e-3)


def test_the_converter_table_of_isaac():
    # pJ per conversion at 1.2 GS/s and um2, as hwcomponents-library lists them
    published = {4: (0.79, 361.04), 5: (0.99, 476.91), 6: (1.2, 626.91), 7: (1.42, 845.18), 8: (1.6667, 1200.0)}
    published |= {9: (1.969, 1827.9), 10: (2.379, 3002.0)}
    assert set(ISAAC.adc.bits) == set(published)
    for bits, (energy, area) in published.items():
        part = ISAAC.adc.bits[bits]
        assert part.power.si * part.share / 1.2e9 == pytest.approx(energy * 1e-12, rel=1e-3)
        assert part.area.si * part.share == pytest.approx(area * 1e-12, rel=1e-3)


def test_energy_per_operation_is_printed_power_over_the_work_of_a_full_tile():
    # operations per second of a full tile: 96 arrays, 128 rows and columns, 16 reads of 100 ns a vector
    conversions, results, bits = 96 * 128 / 1e-7, 96 * 128 / 1.6e-6, (12288 + 1536) * 16 / 1.6e-6
    rates = {"sample_hold": conversions, "shift_add": conversions, "output_register": conversions}
    rates |= {"input_register": conversions, "adder": results, "accumulator": results}
    rates |= {"buffer": 2 * bits, "bus": bits, "router": bits, "activation": 1536 / 1.6e-6, "pooling": 1536 / 1.6e-6}
    units = {"router": 96, "activation": 96, "pooling": 96}
    for name, rate in rates.items():
        part: Part = getattr(ISAAC, name)
        assert part.energy is not None
        busy = part.power.si * part.share * units.get(name, 12288)
        assert part.energy.si * rate == pytest.approx(busy, rel=1e-5), name


@pytest.mark.parametrize("bits", [1, 3, 11, 16])
def test_a_resolution_that_the_table_lacks_is_refused(bits):
    with pytest.raises(UserError, match=rf"'isaac-32nm' has no {bits}-bit converter; it lists 4, 5, 6, 7"):
        ISAAC.adc.part(bits, "converter", ISAAC.name)


def test_a_users_library_loads(tmp_path):
    library = Library.load(written(tmp_path, GOOD))
    power = library.adc.bits[8].power
    assert (power.si, power.low, power.high, power.note) == (1e-3, 0.5, 2.0, "n")
    assert library.buffer is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"um2", source = "s" }\n[dac]', '"um2" }\n[dac]', r"the key 'cell\.area\.source' is missing"),
        ('"um2", source = "s" }\n[dac]', '"um2", source = "" }\n[dac]', r"cell\.area\.source = ''"),
        ('"um2", source = "s" }\n[dac]', '"acre", source = "s" }\n[dac]', r"cell\.area: Unknown unit 'acre'"),
        ('"um2", source = "s" }\n[dac]', '"mW", source = "s" }\n[dac]', r"cell\.area.*'mW' does not fit.*'um2'"),
        ("[dac.bits.1]", "[dac.bits.one]", r"dac\.bits\.one.*integer"),
        ("[dac.bits.1]", "[dac.bits.0]", r"dac\.bits\.0.*greater than or equal to 1"),
        ("[cell]", "[buffr]\n[cell]", r"unknown key 'buffr'\. Did you mean 'buffer'\?"),
        ("[cell]\narea", "[cell]\nareas", r"unknown key 'cell\.areas'\. Did you mean 'area'\?"),
        ("low = 0.5", "low = 1.5", r"adc\.bits\.8\.power: value = 1\.0 is outside its own range"),
        ("value = 0.2", "value = -0.2", r"reading\.voltage\.value = -0\.2"),
        ('name = "mine"', "", r"the key 'name' is missing"),
    ],
)
def test_mistakes_in_a_library_name_the_file_and_the_key(tmp_path, old, new, words):
    assert old in GOOD
    path = written(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(UserError, match=words) as caught:
        Library.load(path)
    assert str(path) in str(caught.value)


def test_a_misspelt_library_gets_the_nearest_name():
    with pytest.raises(UserError, match=r"^Unknown library 'isac-32nm'\. Did you mean 'isaac-32nm'\?$"):
        Library.load("isac-32nm")
    assert Library.load("ISAAC-32nm") == ISAAC


def test_libraries_are_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ISAAC.cell = ISAAC.cell  # type: ignore[misc]
