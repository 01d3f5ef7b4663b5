"""The report of a sweep: one self-contained page from its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from experiments.reporting import drawing, sweep_data, sweep_figures, sweep_page, sweep_view
from experiments.reporting.report import environment
from experiments.sweeping import about as about_file
from experiments.sweeping import table as sweep_table
from hwmodels import atomic
from hwmodels.errors import UserError

REPORT_FILE = "report.html"


def of_folder(folder: Path) -> sweep_view.View:
    """What a sweep's folder holds, ready for its page.

    Raises UserError where there is no table, or it or what is said about it is damaged or newer than this program.
    """
    return sweep_view.view(sweep_table.load_results(folder), about_file.read(folder))


def heading(folder: Path, about: object) -> str:
    """The heading of a sweep's page: the title of its configuration, else its name, else that of its folder."""
    known = about if isinstance(about, dict) else {}
    asked = (known.get("config", {}).get("report") or {}).get("title")
    return asked or known.get("name") or folder.resolve().name


def write(made: sweep_view.View, out: Path, title: str) -> Path:
    """Write the page into the folder `out` and return its path; title: its heading.

    The page appears whole or not at all. Raises UserError where it cannot be written.
    """
    path = out / REPORT_FILE
    try:
        atomic.write(path, page(made, title))
    except OSError as error:
        raise UserError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from None
    return path


def page(made: sweep_view.View, title: str) -> str:
    """The page as HTML: everything in one file, nothing from outside."""
    contents = sweep_page.contents(made, title)
    return (
        environment()
        .get_template("sweep.html.j2")
        .render(
            contents,
            pictures=_pictures(made),
            theme=drawing.THEME,
            plotly=_plotly() if contents["axes"] else "",
            script_data=_embedded(sweep_data.data(made)),
        )
    )


def pictures(made: sweep_view.View) -> dict[str, drawing.Draw]:
    """The still pictures that the points allow, by name."""
    found: dict[str, drawing.Draw] = {}
    panels, bars = sweep_view.panels(made), sweep_view.bars(made)
    if panels:
        found["fronts"] = lambda figure: sweep_figures.fronts(figure, panels)
    if bars:
        found["sensitivity"] = lambda figure: sweep_figures.sensitivity(figure, bars)
    return found


def _pictures(made: sweep_view.View) -> dict[str, dict[str, Markup]]:
    said = sweep_page.alternatives()
    return {name: drawing.both_widths(draw, name, said[name]) for name, draw in pictures(made).items()}


def _plotly() -> Markup:
    """The chart library, part of the page so that it works offline."""
    from plotly.offline import get_plotlyjs

    # Its own code has no end of a script in it; a test keeps an eye on that.
    return Markup(get_plotlyjs())


def _embedded(value: Mapping[str, Any]) -> Markup:
    """JSON inside a page: no character in it can end the script that holds it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
