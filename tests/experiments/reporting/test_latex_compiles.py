"""Tables and bibliography through pdflatex and bibtex: no error, nothing undefined, nothing wider than the page."""

import re
import shutil
import subprocess

import pytest

from experiments.reporting import latex, paper, report, sweep_view
from hwmodels import references

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("pdflatex") is None or shutil.which("bibtex") is None, reason="no LaTeX here"),
]

PAPER = r"""\documentclass[10pt,twocolumn]{article}
\usepackage{booktabs}
\setlength{\textwidth}{516pt}\setlength{\columnsep}{12pt}\setlength{\oddsidemargin}{-20pt}
\setcounter{totalnumber}{50}\setcounter{topnumber}{50}\setcounter{dbltopnumber}{50}
\begin{document}
%s
\nocite{*}
\bibliographystyle{plain}
\bibliography{%s}
\end{document}
"""
"""Two columns of an IEEE paper, with the one package that docs/reports.md asks for."""


def compiled(folder, tables, bibliography=""):
    """Compile a paper of these files of `folder`: the log of LaTeX, that of BibTeX, and the pages' text."""
    body = "\n\\clearpage\n".join(f"\\input{{{name}}}" for name in tables)
    (folder / "main.tex").write_text(PAPER % (body, bibliography))
    logs = []
    commands = [["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"]] * 3
    if bibliography:
        commands.insert(1, ["bibtex", "main"])
    for command in commands:
        made = subprocess.run(command, cwd=folder, capture_output=True, timeout=240, check=False)
        logs.append(made.stdout.decode(errors="replace"))
        assert made.returncode == 0, logs[-1][-3000:]
    return (folder / "main.log").read_text(errors="replace"), logs[1] if bibliography else ""


def check(log):
    assert "undefined" not in log
    assert "Missing character" not in log
    wide = [float(size) for size in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", log)]
    assert not wide, log[log.index("main.aux") :]


def test_a_runs_tables_and_bibliography(finished, tmp_path):
    _, folder, record = finished
    written = paper.of_run(record, report.load_tables(folder), tmp_path, paper.Wanted(latex=True, bibtex=True))
    names = [path.name for path in written]
    assert "sources.bib" in names
    tables = [name for name in names if name.endswith(".tex")]
    assert len(tables) >= 6
    log, cited = compiled(tmp_path / paper.FOLDER, tables, "sources")
    check(log)
    assert "error message" not in cited
    assert "Warning--" not in cited, cited
    assert f"{len(tables)} pages" in log or (tmp_path / paper.FOLDER / "main.pdf").stat().st_size > 10_000


def test_a_sweeps_tables_and_bibliography(sweep_tables, tmp_path):
    about = {"config": {"device": {"preset": "hfox"}, "compress": {"quantise": True}}}
    made = sweep_view.view(sweep_tables.recorded(), about)
    written = paper.of_sweep(made, tmp_path, paper.Wanted(latex=True, bibtex=True))
    tables = [path.name for path in written if path.suffix == ".tex"]
    assert len(tables) == 2
    log, cited = compiled(tmp_path / paper.FOLDER, tables, "sources")
    check(log)
    assert "Warning--" not in cited, cited


def test_every_letter_is_printed(tmp_path):
    texts = [
        "".join(latex._SYMBOLS),
        "10⁻⁹ Ω·µm²",
        "[bracket",
        "a_b & 50 % # $ ^ ~ \\ { }",
        "Größe, façade, Łódź",
        "漢",
    ]
    (tmp_path / "all.tex").write_text(latex.table("all", "Every letter: ± % _", ("text",), [[text] for text in texts]))
    log, _ = compiled(tmp_path, ["all.tex"])
    check(log.replace("Overfull", "wide"))


def test_every_publication_is_read_by_bibtex(tmp_path):
    keys = list(references.references())
    (tmp_path / "all.bib").write_text(references.bibtex(keys))
    (tmp_path / "one.tex").write_text("text")
    log, cited = compiled(tmp_path, ["one.tex"], "all")
    check(log.replace("Overfull", "wide"))
    assert "Warning--" not in cited, cited
    printed = (tmp_path / "main.bbl").read_text()
    assert all(f"\\bibitem{{{key}}}" in printed for key in keys)
