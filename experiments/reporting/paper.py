"""What a paper takes from a report: pictures in the width of its columns, tables in LaTeX, a bibliography.

Everything lies in the folder `paper` beside the report. Widths are those of IEEE journals and conferences: 3.5 in for
one column, 7.16 in for both. Type is 7.5 pt or more, set in Type 42 (TrueType) in a PDF and as outlines in an SVG, as
publishers ask; equal data give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from experiments.reporting import bibliography, drawing, latex, page, report, sweep_report
from experiments.reporting.sweep_rows import exact, front_rows, sensitivity_rows
from experiments.reporting.sweep_view import View
from hwmodels import atomic
from hwmodels.errors import UserError, unknown

Style = Literal["single", "double"]

WIDTHS: dict[Style, float] = {"single": 3.5, "double": 7.16}
"""Width of a picture [inch]."""

FOLDER = "paper"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to write: formats of the pictures (none: no pictures), their style, and whether tables and bibliography."""

    formats: tuple[str, ...] = ()
    style: Style = "single"
    latex: bool = False
    bibtex: bool = False

    def __post_init__(self) -> None:
        """Refuse a format that there is not."""
        for name in self.formats:
            if name not in drawing.FORMATS:
                raise unknown("picture format", name, drawing.FORMATS)

    @property
    def anything(self) -> bool:
        """Whether there is something to write."""
        return bool(self.formats) or self.latex or self.bibtex


def of_run(record: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], out: Path, wanted: Wanted) -> list[Path]:
    """Write what is wanted of a run into `out`/paper; returns the files. UserError where it cannot be written."""
    made = _drawn(report.pictures_of(record, tables), wanted)
    if wanted.latex:
        made |= run_tables(record, tables)
    if wanted.bibtex:
        made["sources.bib"] = bibliography.of_run(record).encode()
    return _written(made, out)


def of_sweep(made_of: View, out: Path, wanted: Wanted) -> list[Path]:
    """Write what is wanted of a sweep into `out`/paper; returns the files. UserError where it cannot be written."""
    made = _drawn(sweep_report.pictures(made_of), wanted)
    if wanted.latex:
        made |= sweep_tables(made_of)
    if wanted.bibtex:
        swept = {key: made_of.table[key].tolist() for key in made_of.keys}
        made["sources.bib"] = bibliography.of_sweep(made_of.about, swept, exact=exact(made_of)).encode()
    return _written(made, out)


def _drawn(pictures: Mapping[str, drawing.Draw], wanted: Wanted) -> dict[str, bytes]:
    width = WIDTHS[wanted.style]
    return {
        f"{name}.{fmt}": drawing.render(draw, fmt, width, paper=True)
        for name, draw in pictures.items()
        for fmt in wanted.formats
    }


def _written(made: Mapping[str, bytes], out: Path) -> list[Path]:
    paths = []
    for name, content in made.items():
        path = out / FOLDER / name
        try:
            atomic.write(path, content)
        except OSError as error:
            raise UserError(f"Cannot write {str(path)!r}: {error.strerror or error}; choose another --out.") from None
        paths.append(path)
    return paths


def run_tables(record: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> dict[str, bytes]:
    """The tables of a run: accuracy and its losses, cost (whole, by component, by layer), layers. Name → contents."""
    said = page.contents(record, tables)
    made = {
        "accuracy": latex.table(
            "accuracy",
            f"Accuracy of {said['title']} through the stages.",
            ("stage", "accuracy", "difference (points)", "remark"),
            said["stages"],
            words=(0, 3),
            double=True,
        ),
        "cost": latex.table(
            "cost",
            "The whole chip; range: with every number of the library at its low or high end.",
            ("", "baseline", "placed", "change", "range of the placed"),
            said["costs"],
            double=True,
        ),
        "layers": latex.table(
            "layers",
            "Layers on arrays, before and after compression.",
            ("layer", "kind", "matrix", "kept", "weights kept", "share kept", "levels", "arrays", "MACs"),
            [[row[place] for place in (0, 1, 2, 3, 5, 6, 7, 9, 10)] for row in said["layers"]],
            words=(0, 1),
            double=True,
        ),
    }
    if said["lost"] is not None:
        made["waterfall"] = latex.table(
            "waterfall",
            "Where accuracy is lost: errors switched on in turn, and each alone, with 95 % intervals of the change.",
            ("step", "what it adds", "accuracy", "points in turn", "points alone"),
            said["lost"]["rows"],
            words=(0, 1),
            double=True,
        )
    for name, part, what in (("components", "components", "component"), ("cost-by-layer", "layer_costs", "layer")):
        if said[part]["rows"]:
            made[name] = _cost_table(name, what, said[part])
    return _files(made)


def _cost_table(name: str, what: str, found: Mapping[str, Any]) -> str:
    """Area and power by component or layer, and the shares: what fits a page of paper."""
    kept = [0] + [1 + place for place, head in enumerate(found["heads"]) if _fits(head)]
    heads = [what, *found["heads"]]
    return latex.table(
        name,
        f"Cost by {what}; shares are of the placed chip.",
        [heads[place] for place in kept],
        [[row[place] for place in kept] for row in found["rows"]],
        total=[found["total"][place] for place in kept],
        double=True,
    )


def _fits(head: str) -> bool:
    return "mm²" in head or "mW" in head or head.startswith("share")


def sweep_tables(made_of: View) -> dict[str, bytes]:
    """The tables of a sweep: the Pareto front, and the shares of variance. File name → contents."""
    made = {}
    axes = made_of.axes()
    if axes is not None:
        found = front_rows(made_of, *axes)
        caption = f"Pareto front of {axes[0].label} and {axes[1].label}."
        made["front"] = latex.table("front", caption, found["heads"], found["rows"], double=True)
    shares = sensitivity_rows(made_of)
    if shares is not None:
        caption = "Share of variance that each key explains by itself."
        made["sensitivity"] = latex.table("sensitivity", caption, shares["heads"], shares["rows"], double=True)
    return _files(made)


def _files(made: Mapping[str, str]) -> dict[str, bytes]:
    return {f"{name}.tex": text.encode() for name, text in made.items()}


def formats(text: str) -> tuple[str, ...]:
    """Read "pdf,svg": the formats, each once. Raises UserError for one that there is not."""
    found: Sequence[str] = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise UserError(f"--figures {text!r}: give formats, like pdf,svg. There are {', '.join(drawing.FORMATS)}.")
    return Wanted(formats=tuple(dict.fromkeys(found))).formats
