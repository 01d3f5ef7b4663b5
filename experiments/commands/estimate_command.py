"""`ohmweave estimate`: price a placement, or a plain table of tiles, with any component library."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from hwmodels.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from hwmodels import Device, Estimate


@dataclass(frozen=True, kw_only=True)
class _Hardware:
    library: str = "isaac-32nm"
    """A name that `ohmweave libraries` lists, or the path of your own file."""
    adc_model: Literal["table", "andrulis", "isaac"] | None = None
    """Where a converter's cost comes from; default: the library's own choice."""
    adc_bits: Annotated[str, tyro.conf.arg(metavar="N|required|table")] = "table"
    """Bits of every converter; `required`: what its live cells need; `table`: as placed."""
    cols_per_adc: int | None = None
    """Columns that share a converter; default: as placed."""
    node_nm: float | None = None
    """Move the digital parts to this node [nm]; converters and cells stay."""
    execution: Literal["pipelined", "layer-by-layer"] = "pipelined"
    """Whether inferences overlap, every layer on the next one, or run one at a time."""
    replicas: dict[str, int] = field(default_factory=dict)
    """Copies of a layer's arrays, by layer name (conv1 4 conv2 2)."""


@dataclass(frozen=True, kw_only=True)
class _Estimate:
    """Price a placement: a run folder, a placement folder, or a tile table as CSV or Parquet."""

    placement: Annotated[Path, tyro.conf.Positional]
    hardware: _Hardware = field(default_factory=_Hardware)
    frame_rate_hz: float | None = None
    """Inferences per second; default: the full pipelined rate of the placement."""
    total: str = "energy_nj"
    """The total that the list of what matters most is about."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for components.csv, layers.csv, uncertainty.csv and estimate.json."""
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"]), tyro.conf.FlagCreatePairsOff] = False
    """Leave the assumptions out."""
    verbose: Annotated[bool, tyro.conf.arg(aliases=["-v"]), tyro.conf.FlagCreatePairsOff] = False
    """Print the full traceback on a failure."""


def run(args: list[str]) -> int:
    """Run the command line `ohmweave estimate …` and return its exit code."""
    if not args:
        raise UserError(
            "Which placement? ohmweave estimate PLACEMENT, a run folder, a placement folder or a tile table."
        )
    flags = tyro.cli(_Estimate, prog="ohmweave estimate", args=args, use_underscores=True)
    result = _priced(flags)
    uncertain = result.tornado(flags.total)
    if flags.out is not None:
        _write(result, uncertain, flags.out)
    print(_text(result, uncertain, flags))
    return 0


def _priced(flags: _Estimate) -> Estimate:
    from hwmodels import Library, at_node, estimate

    library = Library.load(flags.hardware.library)
    table, device = tiles(flags.placement)
    if flags.hardware.node_nm is not None:
        library = at_node(library, flags.hardware.node_nm)
    return estimate(
        table,
        library,
        frame_rate_hz=flags.frame_rate_hz,
        adc_model=flags.hardware.adc_model,
        adc_bits=_bits(flags.hardware.adc_bits),
        cols_per_adc=flags.hardware.cols_per_adc,
        replicas=flags.hardware.replicas,
        execution=flags.hardware.execution,
        device=device,
    )


def _bits(text: str) -> int | Literal["required"] | None:
    """The converter bits that a flag asks for."""
    if text == "table":
        return None
    if text == "required":
        return "required"
    if text.isdecimal():
        return int(text)
    raise UserError(f"--hardware.adc_bits is a whole number, 'required' or 'table', not {text!r}.")


def tiles(path: Path) -> tuple[pd.DataFrame, Device | None]:
    """The tile table of a run folder, a placement folder, or a CSV or Parquet file; and the device, where it is known.

    Raises UserError for a path that is none of these.
    """
    import pandas as pd

    if path.is_dir():
        from mapping import Placement

        inner = path / "placement"
        placement = Placement.load(inner if inner.is_dir() else path)
        return placement.tiles, placement.array.device
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix.lower() not in readers or not path.is_file():
        raise UserError(
            f"{str(path)!r} is neither a run folder, nor a placement folder, nor a tile table (.csv or .parquet)."
        )
    try:
        return readers[path.suffix.lower()](path), None
    except (OSError, ValueError) as error:  # a table that does not parse; pandas' own errors are ValueErrors
        raise UserError(f"{str(path)!r} cannot be read as a tile table: {error}") from None


def _text(result: Estimate, uncertain: pd.DataFrame, flags: _Estimate) -> str:
    """The answer, as tables for a terminal."""
    from experiments.catalogue import as_table

    totals, interval = result.totals, result.interval
    rows = [(name, f"{value:.5g}", _range(interval[name])) for name, value in totals.items()]
    columns = ["area_mm2", "energy_nj", "power_mw", "power_peak_mw"]
    parts: Any = result.table.groupby("component", sort=False)[columns].sum()
    lines = [
        f"{flags.placement} priced with {result.library.name}",
        "",
        as_table(("total", "value", "low … high"), rows),
        f"power_mw = energy per inference × frame_rate_hz ({totals['frame_rate_hz']:.5g} Hz) + leakage.",
        "power_full_rate_mw and power_sequential_mw: the same at full_rate_hz (layers overlap) and sequential_rate_hz",
        "(layer by layer); power_peak_mw: every unit busy at once.",
        "",
        as_table(
            ("component", "area [mm²]", "energy [nJ]", "power [mW]", "peak [mW]"),
            [
                (str(name), *(f"{value:.4g}" for value in row))
                for name, row in zip(parts.index, parts.to_numpy(), strict=True)
            ],
        ),
        "",
        *_tornado_lines(uncertain, flags.total),
    ]
    if not flags.quiet:
        lines += ["", "Taken for granted:", *(f"- {sentence}" for sentence in result.assumptions)]
    return "\n".join(lines)


def _range(ends: tuple[float, float]) -> str:
    low, high = ends
    return "–" if low == high else f"{low:.5g} … {high:.5g}"


def _tornado_lines(uncertain: pd.DataFrame, total: str) -> list[str]:
    """The numbers that matter most, with bars in proportion to their swing."""
    moved: Any = uncertain[uncertain["swing"] > 0].head(8)
    if not len(moved):
        return [f"No number of the library that states a range moves {total}."]
    widest = float(moved["swing"].iloc[0])
    lines = [f"What moves {total} most, each number from its low to its high end:"]
    for row in moved.to_dict("records"):
        bar = "█" * max(1, round(24 * row["swing"] / widest))
        name = f"{row['component']} {row['quantity']}"
        lines.append(f"  {name:24} {bar:24} {row['total_low']:.5g} … {row['total_high']:.5g}")
    return lines


def _write(result: Estimate, uncertain: pd.DataFrame, folder: Path) -> None:
    """The tables and the record of an estimate."""
    record: dict[str, Any] = {
        "schema": "ohmweave.estimate/1",
        "library": result.library.name,
        "adc_model": result.question.model,
        "totals": result.totals,
        "interval": result.interval,
        "assumptions": result.assumptions,
        "sources": result.sources,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result.table.to_csv(folder / "components.csv", index=False)
        result.layers.to_csv(folder / "layers.csv", index=False)
        uncertain.to_csv(folder / "uncertainty.csv", index=False)
        (folder / "estimate.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    except OSError as error:
        raise UserError(f"Cannot write to {str(folder)!r}: {error.strerror or error}.") from None
