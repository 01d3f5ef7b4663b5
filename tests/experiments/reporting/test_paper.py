"""What a paper takes: widths, fonts, tables, the publications of the sources; and that it repeats."""

import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from experiments.reporting import bibliography, drawing, paper, sweep_report, sweep_view
from hwmodels.errors import UserError


@pytest.fixture(scope="module")
def made(sweep_tables):
    return sweep_view.view(
        sweep_tables.costs(27), {"config": {"device": {"preset": "hfox"}, "compress": {"quantise": True}}}
    )


@pytest.fixture
def fronts_only(monkeypatch):
    """One picture is enough to see how pictures are written."""
    every = sweep_report.pictures
    monkeypatch.setattr(sweep_report, "pictures", lambda made: {"fronts": every(made)["fronts"]})


@pytest.mark.parametrize(("style", "inches"), [("single", 3.5), ("double", 7.16)])
def test_pictures_have_the_width_of_a_column(made, tmp_path, fronts_only, style, inches):
    (path,) = paper.of_sweep(made, tmp_path, paper.Wanted(formats=("pdf",), style=style))
    content = path.read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", content)
    assert box is not None
    assert float(box[1]) == pytest.approx(72 * inches, abs=0.1)
    # TrueType outlines, embedded; no Type 3
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"/CIDFontType2" in content


def test_a_png_has_pixels_enough_for_print():
    png = drawing.render(lambda figure: figure.set_figheight(0.1), "png", 3.5, paper=True)
    assert Image.open(io.BytesIO(png)).width == 2100


def test_type_is_large_enough(made):
    for draw in sweep_report.pictures(made).values():
        for width in paper.WIDTHS.values():
            sizes = []

            def seen(figure: Figure, draw=draw, sizes=sizes):
                draw(figure)
                sizes += [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]

            drawing.render(seen, "svg", width, paper=True)
            assert min(sizes) >= 7


def test_the_same_data_give_the_same_bytes(made, tmp_path, fronts_only):
    wanted = paper.Wanted(formats=("pdf", "svg"), latex=True, bibtex=True)
    first = {path.name: path.read_bytes() for path in paper.of_sweep(made, tmp_path / "a", wanted)}
    again = {path.name: path.read_bytes() for path in paper.of_sweep(made, tmp_path / "b", wanted)}
    assert first == again
    assert b"<text" not in first["fronts.svg"]  # outlines
    assert first["front.tex"].count(b"\\\\\n") >= 2
    assert b"crossbar.rows" in first["sensitivity.tex"]


def test_publications_are_those_of_what_was_used(made, tmp_path):
    paper.of_sweep(made, tmp_path, paper.Wanted(bibtex=True))
    keys = re.findall(r"@\w+\{(\w+),", (tmp_path / "paper" / "sources.bib").read_text())
    assert {"milo2021programming", "crosssim", "boyd2011admm", "salmon2011philox", "sobol2001"} <= set(keys)
    assert "kelley1935" not in keys  # a complete grid
    assert "wan2022neurram" not in keys
    swept = {"device.preset": np.array(["neurram", "hfox", "neurram"]), "hardware.library": ["isaac-32nm"]}
    settings = {"settings": {"method": "search", "sampler": "nsga2"}}
    found = bibliography.of_sweep(settings, swept, exact=False)
    for key in ("wan2022neurram", "milo2021programming", "shafiee2016isaac", "deb2002nsga2", "kelley1935"):
        assert found.count(f"{{{key},") == 1
    assert "bergstra" not in found


def test_every_method_is_a_known_publication():
    for method in bibliography.METHODS:
        assert bibliography.bibtex([], [method]).count("@") == len(bibliography.METHODS[method])


def test_methods_of_the_compression_are_named():
    about = {"config": {"compress": {"quantise": True, "solver": "slr", "steps": 2, "distill": 0.5, "purify": None}}}
    found = bibliography.of_sweep(about, {}, exact=True)
    for key in ("boyd2011admm", "gurevin2021slr", "ye2019compression", "hinton2015distilling"):
        assert found.count(f"{{{key},") == 1
    assert "lee2022joint" not in found
    about["config"]["compress"]["distill"] = 0.0
    assert "hinton" not in bibliography.of_sweep(about, {}, exact=True)
    assert "admm" not in bibliography.of_sweep({"config": {"compress": {"quantise": False}}}, {}, exact=True)


def test_mistakes_are_named(made, tmp_path):
    assert paper.formats("pdf, svg,pdf") == ("pdf", "svg")
    with pytest.raises(UserError, match="pdff"):
        paper.formats("pdff")
    with pytest.raises(UserError, match="give formats"):
        paper.formats(",")
    (tmp_path / "paper").write_text("in the way")
    with pytest.raises(UserError, match="Cannot write"):
        paper.of_sweep(made, tmp_path, paper.Wanted(latex=True))
