"""Published machines summed up from the libraries' own parts, to compare with the totals that their papers print."""

from __future__ import annotations

from hwmodels import Library, Matrix, dense_tiles, prepare


def machine(name: str, bits: int = 8, converters: int = 8) -> tuple[float, float]:
    """Power [mW] and area [mm²] of a core of 8 arrays of ISAAC or FORMS, from the printed parts."""
    library = Library.load(name)
    cell = library.cell
    assert cell.printed_power is not None
    counts = [(library.adc.bits[bits], converters), (library.dac.bits[1], 1024)]
    for part in ("sample_hold", "shift_add", "output_register", "input_register"):
        counts.append((getattr(library, part), 1024))
    power = cell.printed_power.si + sum(part.power.si * part.share * count for part, count in counts)
    area = cell.area.si + sum(part.area.si * part.share * count for part, count in counts)
    return power * 1e3, area * 1e6


def isaac_gops() -> float:
    """16-bit operations per second of ISAAC's chip [1e9/s]: its arrays full, at the rate that the cost model finds.

    A 16-bit weight takes 8 cells of 2 bits and a 16-bit input 16 cycles, so a full array of 128 × 128 does 2 · 128 · 16
    operations (multiply and add) an input vector; a chip has 168 tiles of 96 arrays.
    """
    full = dense_tiles(
        [Matrix(name="full", rows=128, cols=16)], signs=1, slices=8, slices_share_array=True, input_bits=16
    )
    rate = prepare(full).estimate("isaac-32nm").totals["full_rate_hz"]
    return 168 * 96 * 2 * 128 * 16 * rate / 1e9


def tiles(
    who: str, name: str, tile: tuple[float, float], chip: tuple[float, float]
) -> list[tuple[str, str, float, float]]:
    """Rows for a tile and a chip of ISAAC or FORMS: power [mW] and area [mm²] as printed (arguments) and from parts."""
    library = Library.load(name)
    power, area = (12 * value for value in (machine(name) if who == "ISAAC" else machine(name, bits=4, converters=32)))
    for extra in ("zero_skip", "sign_indicator"):
        if extra in library.extra:
            power += 12e3 * library.extra[extra].power.si
            area += 12e6 * library.extra[extra].area.si
    for part in ("buffer", "bus", "accumulator", "adder", "activation", "pooling", "router"):
        found = getattr(library, part)
        if found is not None:
            shared = 4 if part == "router" else 1
            power, area = power + 1e3 * found.power.si / shared, area + 1e6 * found.area.si / shared
    links = library.extra["hypertransport"]
    return [
        (f"{who} tile, power", "mW", tile[0], power),
        (f"{who} tile, area", "mm2", tile[1], area),
        (f"{who} chip, power", "mW", chip[0], 168 * power + 1e3 * links.power.si),
        (f"{who} chip, area", "mm2", chip[1], 168 * area + 1e6 * links.area.si),
    ]
