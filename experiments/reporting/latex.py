"""Tables for a paper: rows of text as LaTeX with booktabs, everything escaped, ready for pdflatex and lualatex.

A file is one table environment; the paper needs `\\usepackage{booktabs}`, and `graphicx` where a table is wide.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

_SYMBOLS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "\u00a0": "~", "\u202f": r"\,", "\u2009": r"\,", "−": "$-$", "–": "--", "—": "---", "…": r"\ldots{}",
    "×": r"$\times$", "±": r"$\pm$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≈": r"$\approx$",
    "∞": r"$\infty$",
    "→": r"$\to$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "°": r"$^{\circ}$",
    "µ": r"$\mu$", "μ": r"$\mu$", "\u03a9": r"$\Omega$", "\u2126": r"$\Omega$",
    "σ": r"$\sigma$", "ν": r"$\nu$", "ε": r"$\varepsilon$",
    "²": "$^{2}$", "³": "$^{3}$", "¹": "$^{1}$", "’": "'", "‘": "`", "“": "``", "”": "''",
}  # fmt: skip

_RAISED = dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True))


def escape(text: object) -> str:
    """Any text as LaTeX that prints it: what has a meaning in LaTeX is escaped, units and signs are set in mathematics.

    A letter beyond Latin that pdflatex would stop at stands as its code point, U+4E2D.
    """
    made, raised = [], ""
    for letter in str(text):
        if letter in _RAISED:
            raised += _RAISED[letter]
            continue
        if raised:
            made.append(f"$^{{{raised}}}$")
            raised = ""
        made.append(_letter(letter))
    if raised:
        made.append(f"$^{{{raised}}}$")
    return "".join(made).replace("\\textquotedbl{}", "{\\ttfamily\\char34}")


def _letter(letter: str) -> str:
    if letter in _SYMBOLS:
        return _SYMBOLS[letter]
    if letter.isspace():
        return " "
    if ord(letter) < 0x7F or (0xC0 <= ord(letter) < 0x180):
        return letter if letter.isprintable() else ""
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain if plain and plain.isalnum() else f"U+{ord(letter):04X}"


def table(
    label: str,
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    total: Sequence[object] = (),
    words: Collection[int] = (0,),
    double: bool = False,
) -> str:
    """A table environment with booktabs rules.

    label: of `\\label{tab:…}`; heads and rows: texts, escaped here; total: a last row behind a rule; words: columns set
    left, the others right; double: over both columns of the page.
    """
    assert all(len(row) == len(heads) for row in rows), "every row has a cell for each head"
    kind = "table*" if double else "table"
    columns = "".join("l" if place in words else "r" for place in range(len(heads)))
    lines = [f"\\begin{{{kind}}}[t]", "\\centering", f"\\caption{{{escape(caption)}}}", f"\\label{{tab:{label}}}"]
    lines += [
        "\\footnotesize",
        "\\setlength{\\tabcolsep}{4pt}",
        f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        "\\toprule",
    ]
    lines += [_row(heads), "\\midrule", *(_row(row) for row in rows)]
    if total:
        lines += ["\\midrule", _row(total)]
    lines += ["\\bottomrule", "\\end{tabular}", f"\\end{{{kind}}}", ""]
    return "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    # A first cell that begins with a bracket would be read as an argument of the row before.
    texts = [escape(cell) for cell in cells]
    return (("{}" if texts and texts[0].startswith("[") else "") + " & ".join(texts)) + r" \\"
