"""Tables of the cost model: `python docs/results/hardware.py` writes hardware-*.csv and hardware-*.md beside itself.

hardware-vgg8: one VGG-8 placement through every library; hardware-goldens: published totals recomputed from parts.
The published chips of the library `yuan2019-45nm` have a script of their own, hardware_yuan2019.py.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.diagnosis.published import isaac_gops, machine, tiles
from hwmodels import Library, Matrix, dense_tiles, prepare
from hwmodels.costs.adc_bits import required_adc_bits
from hwmodels.costs.adc_cost import andrulis
from hwmodels.costs.scaling import node_scaling

HERE = Path(__file__).parent
VGG8 = (
    ("conv1", 27, 128, 1024),
    ("conv2", 1152, 128, 1024),
    ("conv3", 1152, 256, 256),
    ("conv4", 2304, 256, 256),
    ("conv5", 2304, 512, 64),
    ("conv6", 4608, 512, 64),
    ("fc1", 8192, 1024, 1),
    ("fc2", 1024, 10, 1),
)
"""C128 C128 M C256 C256 M C512 C512 M FC1024 FC10 for 3 × 32 × 32: name, rows, columns, input vectors."""


def vgg8() -> pd.DataFrame:
    """One placement of VGG-8 (8-bit weights and inputs, pairs, two 4-bit slices) through every library."""
    matrices = [Matrix(name=name, rows=r, cols=c, reads_per_inference=v) for name, r, c, v in VGG8]
    prepared = prepare(dense_tiles(matrices, slices=2, g_mean_s=5e-6))
    rows = []
    for name in Library.names():
        bits = 8 if 8 in Library.load(name).adc.bits else 4
        result = prepared.estimate(name, adc_bits=bits)
        totals, interval = result.totals, result.interval
        by_part = result.table.groupby("component")["energy_nj"].sum().sort_values(ascending=False)
        rows.append(
            {
                "library": name,
                "adc_bits": bits,
                "arrays": totals["arrays"],
                "area_mm2": totals["area_mm2"],
                "area_low": interval["area_mm2"][0],
                "area_high": interval["area_mm2"][1],
                "energy_uj": totals["energy_nj"] / 1e3,
                "energy_low": interval["energy_nj"][0] / 1e3,
                "energy_high": interval["energy_nj"][1] / 1e3,
                "most_energy": f"{by_part.index[0]} {100 * by_part.iloc[0] / by_part.sum():.0f} %",
                "latency_us": totals["latency_us"],
                "leakage_mw": totals["leakage_mw"],
                "power_peak_w": totals["power_peak_mw"] / 1e3,
            }
        )
    return pd.DataFrame(rows).map(lambda value: float(f"{value:.4g}") if isinstance(value, float) else value)


def goldens() -> pd.DataFrame:
    """Published totals and laws, as printed and as recomputed."""
    scaling = node_scaling(45, 16, 1.0, 0.8)
    rows = [
        ("ISAAC core, power", "mW", 24.08, machine("isaac-32nm")[0]),
        ("ISAAC core, area", "mm2", 0.01312, machine("isaac-32nm")[1]),
        *tiles("ISAAC", "isaac-32nm", (329.8, 0.372), (65_800.0, 85.4)),
        ("ISAAC chip, throughput of 16-bit operations", "GOPS", 41_288.0, isaac_gops()),
        ("FORMS 12 cores, power", "mW", 280.05, 12 * machine("forms-32nm", bits=4, converters=32)[0]),
        ("FORMS 12 cores, area", "mm2", 0.152, 12 * machine("forms-32nm", bits=4, converters=32)[1]),
        *tiles("FORMS", "forms-32nm", (333.1, 0.39), (66_360.8, 89.15)),
        ("FORMS tile, area, as the sum of its own two printed parts", "mm2", 0.39, 0.25 + 0.152),
        ("PUMA matrix unit, power (printed from memory)", "mW", 19.09, puma()["unit"][0]),
        ("PUMA core, power", "mW", 42.37, puma()["core"][0]),
        ("PUMA core, area", "mm2", 0.036, puma()["core"][1]),
        ("PUMA tile, power (its own rows add up to 377.94)", "mW", 373.8, puma()["tile"][0]),
        ("PUMA tile, area (its own rows add up to 0.48725)", "mm2", 0.479, puma()["tile"][1]),
        ("PUMA node, power", "mW", 62_500.0, puma()["node"][0]),
        ("PUMA node, area", "mm2", 90.638, puma()["node"][1]),
        ("Andrulis, 8 bits, 1.28 GS/s, 32 nm, energy", "pJ", 1.929, andrulis(8, 1.28e9, 32).energy_j * 1e12),
        ("Andrulis, 8 bits, 1.28 GS/s, 32 nm, area", "um2", 6469.0, andrulis(8, 1.28e9, 32).area_m2 * 1e12),
        ("Andrulis, 8 bits, 1.28 GS/s, 65 nm, energy", "pJ", 7.311, andrulis(8, 1.28e9, 65).energy_j * 1e12),
        ("Stillmaker, 45 nm 1.0 V to 16 nm 0.8 V, energy", "", 0.140, scaling.energy),
        ("Stillmaker, the same, delay", "", 0.538, scaling.delay),
        ("converter bits, 128 rows of 2-bit cells", "bit", 9, required_adc_bits(128, 4)),
        ("the same, flipped columns (ISAAC)", "bit", 8, required_adc_bits(128, 4, encoding="flipped")),
        ("the same for 8 rows; FORMS publishes 4, which clips", "bit", 5, required_adc_bits(8, 4)),
    ]
    frame = pd.DataFrame(rows, columns=["what", "unit", "published", "recomputed"])
    frame["difference_percent"] = (100 * (frame["recomputed"] / frame["published"] - 1)).round(2)
    frame["recomputed"] = [float(f"{value:.5g}") for value in frame["recomputed"]]
    return frame


def puma() -> dict[str, tuple[float, float]]:
    """Power [mW] and area [mm²] of PUMA's matrix unit, core, tile and node, from the library."""
    library = Library.load("puma-32nm")
    assert library.cell.printed_power is not None
    units = {"sample_hold": 1024, "shift_add": 1024, "output_register": 1024, "input_register": 1024}

    def add(counts: dict[str, float], power: float, area: float) -> tuple[float, float]:
        for name, count in counts.items():
            part = getattr(library, name)
            power, area = power + part.power.si * part.share * count, area + part.area.si * part.share * count
        return power, area

    adc, dac = library.adc.bits[8], library.dac.bits[1]
    power = 8 * library.cell.printed_power.si + 8 * adc.power.si + 1024 * dac.power.si * dac.share
    area = 8 * 16384 * library.cell.area.si * library.cell.share + 8 * adc.area.si + 1024 * dac.area.si * dac.share
    unit = add(units, power, area)
    shared = {"adder": 2048.0, "accumulator": 2048.0, "activation": 16.0, "control": 16.0}
    core = add(shared, 2 * unit[0], 2 * unit[1])
    tile = add({"buffer": 16384.0, "bus": 16384.0}, 8 * core[0], 8 * core[1])
    links = library.extra["hypertransport"]
    node = add({"router": 138 * 128.0}, 138 * tile[0] + links.power.si, 138 * tile[1] + links.area.si)
    # The library keeps a tile's control with its cores; PUMA prints it with the tile.
    tile_control = (14.32e-3 / 8, 0.02325e-6 / 8)
    core = (core[0] - tile_control[0], core[1] - tile_control[1])
    return {
        key: (power * 1e3, area * 1e6)
        for key, (power, area) in {"unit": unit, "core": core, "tile": tile, "node": node}.items()
    }


def page(title: str, text: str, frame: pd.DataFrame) -> str:
    """A results page."""
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in frame.itertuples(index=False)]
    return f"# {title}\n\n{text}\n\n" + "\n".join(lines) + "\n\nCommand: `python docs/results/hardware.py`.\n"


VGG8_TEXT = """\
VGG-8 (C128 C128 M C256 C256 M C512 C512 M FC1024 FC10, 3 × 32 × 32) on arrays of 128 × 128: 8-bit weights as a pair of
arrays with two 4-bit slices each, 8-bit inputs one bit at a time, one converter an array, cells of 5 µS on average,
every row driven; nothing pruned. Low and high: every number of the library that states a range at its end, all at
once. FORMS lists 4-bit converters only, which clip sums over 128 rows."""
GOLDEN_TEXT = (
    "Published totals and laws, as printed and as recomputed from the library's own parts. None of them is fitted."
)


def main() -> None:
    """Write the two tables."""
    pages = (
        ("vgg8", "One VGG-8 through every library", VGG8_TEXT, vgg8()),
        ("goldens", "Published figures recomputed", GOLDEN_TEXT, goldens()),
    )
    for name, title, text, frame in pages:
        frame.to_csv(HERE / f"hardware-{name}.csv", index=False)
        (HERE / f"hardware-{name}.md").write_text(page(title, text, frame), encoding="utf-8")


if __name__ == "__main__":
    main()
