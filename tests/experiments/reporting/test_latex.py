"""LaTeX: whatever the text, the table is well formed; pdflatex takes it where there is one."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.reporting import latex

HOSTILE = r"\input{x} 100 % & $a_b^c$ #1 {~} <µ> 10⁻⁷ − 1×2 “q” 'é' 中 [x] | ¬ Ω → …"


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=30))
def test_escaped_text_has_no_meaning_in_latex(text):
    made = latex.escape(text)
    assert all(ord(letter) < 0x7F or 0xC0 <= ord(letter) < 0x180 for letter in made)
    # Without what is escaped on purpose nothing special is left, and mathematics and groups are closed.
    assert made.replace(r"\$", "").count("$") % 2 == 0
    bare = re.sub(r"\\[{}]", "", made)
    assert bare.count("{") == bare.count("}")
    plain = re.sub(r"\$[^$]*\$", "", re.sub(r"\\[$&#%_{},]", "", made))
    plain = re.sub(r"\\(text\w+|ldots)\{\}|\{\\ttfamily\\char34\}", "", plain)
    assert not re.search(r"[&#%_^\\{}$]", plain)


def test_numbers_and_units():
    assert latex.escape("1.23\u00a0×\u00a010⁻⁷\u00a0mm²") == r"1.23~$\times$~10$^{-7}$~mm$^{2}$"
    assert latex.escape("−5\u202f000 µs, 98 %") == r"$-$5\,000 $\mu$s, 98 \%"


def test_a_table_has_its_rules_and_columns():
    made = latex.table("t", "A caption", ("key", "a_b", "c"), [("[x]", 1, 2)], total=("sum", 3, 4), words=(0, 2))
    assert r"\begin{tabular}{@{}lrl@{}}" in made
    assert r"{}[x] & 1 & 2 \\" in made
    assert made.index(r"\toprule") < made.index(r"\midrule") < made.index("sum & 3") < made.index(r"\bottomrule")
    assert r"\begin{table*}" in latex.table("t", "c", ("a",), [("b",)], double=True)
    with pytest.raises(AssertionError, match="every row"):
        latex.table("t", "c", ("a", "b"), [("only one",)])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_pdflatex_takes_it(tmp_path):
    rows = [(HOSTILE, HOSTILE), ("[1]", "x")]
    body = latex.table("t", HOSTILE, ("a", HOSTILE), rows, double=True)
    head = "\\documentclass[twocolumn]{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(head + body + "\\end{document}\n")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
