"""How a picture becomes a file and part of a page: style, colours of light and dark, SVG that repeats byte for byte.

A picture is a function that draws its data on a matplotlib Figure of given width (wide page or phone) and sets the
height that its data needs; pyplot stays out of it. Text in an SVG stays text, so that it can be searched, copied and
read aloud, and takes the font of the page; it is laid out in DejaVu Sans, which is wider than the usual page fonts, so
another font finds its room. `inline` makes an SVG part of a page: its colours become CSS variables, one for each role
of `THEME`, so one picture serves light and dark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from io import BytesIO
from itertools import zip_longest
from typing import Any, cast

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.reporting.wording import shorten

THEME: dict[str, tuple[str, str]] = {
    "ink": ("#1f2328", "#e6e4df"),
    "muted": ("#5c636b", "#a3a7ad"),
    "line": ("#c9cdd2", "#454a51"),
    "surface": ("#ffffff", "#17191c"),
    "band": ("#f2f3f5", "#212429"),
    "before": ("#8b929b", "#767d86"),
    "after": ("#0b62a4", "#5aaae6"),
    # Hues after Paul Tol's "bright" scheme, which the common colour-vision deficiencies tell apart; cyan and yellow
    # darkened until they stand 3 : 1 against white, all lightened for dark pages.
    "blue": ("#4477aa", "#7fb0e6"),
    "red": ("#e0566a", "#f58b98"),
    "green": ("#228833", "#5cc26c"),
    "purple": ("#a63577", "#dd86b9"),
    "cyan": ("#2b97bd", "#77d2ee"),
    "yellow": ("#a08f1d", "#d9c95c"),
}
"""Colour of each role on a light and a dark page; contrast to the page at least 3 : 1 for hues, 4.5 : 1 for text."""

HUES = ("blue", "red", "green", "purple", "cyan", "yellow")

WIDE, NARROW = 7.4, 3.5
"""Figure widths [inch] for a page and for a phone; text keeps its size, the layout changes."""

FORMATS: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""The picture formats, each with the metadata fields (time, versions) that would make equal pictures differ."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ohmweave",
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": THEME["line"][0],
    "axes.labelcolor": THEME["muted"][0],
    "axes.titlecolor": THEME["ink"][0],
    "axes.facecolor": "none",
    "figure.facecolor": THEME["surface"][0],
    "savefig.facecolor": "auto",
    "grid.color": THEME["line"][0],
    "grid.linewidth": 0.5,
    "text.color": THEME["ink"][0],
    "xtick.color": THEME["line"][0],
    "ytick.color": THEME["line"][0],
    "xtick.labelcolor": THEME["muted"][0],
    "ytick.labelcolor": THEME["muted"][0],
    # Names come from the user, and a dollar sign in one is no formula.
    "text.parse_math": False,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.2,
    "legend.borderaxespad": 0.2,
    "lines.linewidth": 1.4,
}

_PAPER: dict[str, Any] = {"svg.fonttype": "path"}
"""What differs in print: the reader of a paper may not have the font."""

Draw = Callable[[Figure], object]
"""A picture with its data already in it."""


def render(draw: Draw, fmt: str = "svg", width: float = WIDE, *, paper: bool = False) -> bytes:
    """Draw a picture of the given width [inch] and return the file's bytes; equal data, equal bytes.

    draw: called with an empty Figure that it fills, and whose height it sets. fmt: a key of `FORMATS`.
    paper: for print instead of a page, with text as outlines in an SVG and pixels enough in a PNG.
    The settings of the user's matplotlibrc are left out, and put back afterwards.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        cast("dict[str, Any]", matplotlib.rcParams).update(_STYLE | (_PAPER if paper else {}))
        figure = Figure(figsize=(width, 3.0), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        _settle(figure)
        buffer = BytesIO()
        figure.savefig(buffer, format=fmt, dpi=600 if paper else 200, metadata=FORMATS[fmt])
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Fix the axes where the layout has put them, to a millionth of the figure.

    The solver of constrained layout orders its unknowns by address, so its last bits are not the same every time.
    """
    if figure.get_layout_engine() is None:
        return
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(value, 6) for value in axes.get_position(original=True).bounds])  # type: ignore[arg-type]


def inline(svg: bytes, name: str, label: str) -> str:
    """An SVG of `render` as markup inside an HTML page: themed colours, ids of its own, a label for screen readers.

    name: prefix of every id, unique in the page. label: what the picture says, in words.
    """
    body = svg.decode()
    body = body[body.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    view = re.search(r'viewBox="([^"]+)"', body)
    assert view is not None
    head = f'<svg viewBox="{view[1]}" role="img" aria-label="{escape(label)}">'
    body = head + body[body.index(">") + 1 :]
    body = re.sub(r' id="', f' id="{name}-', body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    # matplotlib's own style block only sets defaults for strokes, and would leak into the whole page.
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    # The page's font stands in; size and anchor stay.
    body = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--sans, sans-serif)", body)
    for role, (light, _) in THEME.items():
        body = body.replace(light, f"var(--ow-{role})")
    return body.strip()


def both_widths(draw: Draw, name: str, label: str, wide: bytes | None = None) -> dict[str, Markup]:
    """A picture as a page holds it: markup for wide pages and for phones; wide: the SVG, where it is drawn already."""
    narrow = render(draw, "svg", NARROW)
    # Markup: `inline` escapes the label, and matplotlib escapes the text inside the picture.
    return {
        "wide": Markup(inline(wide if wide is not None else render(draw, "svg"), name, label)),
        "narrow": Markup(inline(narrow, f"{name}-narrow", label)),
    }


def colour(role: str) -> str:
    """The colour that a role has in a picture's file; `inline` makes it follow the page."""
    return THEME[role][0]


def is_narrow(figure: Figure) -> bool:
    """Whether the figure is laid out for a phone."""
    return figure.get_figwidth() < (WIDE + NARROW) / 2


def span(names: Sequence[str]) -> str:
    """What several consecutive layers are called together: "conv1 + 2" is that one and the next two."""
    return names[0] if len(names) == 1 else f"{names[0]} + {len(names) - 1}"


def labels(names: Sequence[str], limit: int) -> list[str]:
    """Names cut to the letters that fit; a module path that all share goes first, a count behind a plus sign stays.

    Where that leaves two names alike, paths are abbreviated: "blocks.0.attention.out_proj" is "b.0.a.out_proj".
    """
    if len(names) > 1 and max(map(len, names)) > limit:
        paths = [name.split(".") for name in names]
        shared = next(i for i, parts in enumerate(zip_longest(*paths)) if len(set(parts)) > 1 or i == len(paths[0]) - 1)
        names = [".".join(path[shared:]) or name for path, name in zip(paths, names, strict=True)]
    heads = [name.partition(" + ") for name in names]
    cut = [shorten(head, limit - len(plus + more)) + plus + more for head, plus, more in heads]
    if len(set(cut)) == len(set(names)):
        return cut
    return [shorten(_initials(head), limit - len(plus + more)) + plus + more for head, plus, more in heads]


def _initials(path: str) -> str:
    """A module path with the words before its last part cut to their first letters, numbers whole."""
    *before, last = path.split(".")
    return ".".join([*(part if part.isdecimal() else part[:1] for part in before), last])
