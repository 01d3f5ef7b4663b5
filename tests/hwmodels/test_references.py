"""Every packaged source resolves to a publication or says that there is none; the BibTeX is well formed."""

import re
import tomllib
from pathlib import Path

import pytest

import hwmodels
from hwmodels import references
from hwmodels.errors import UserError

PACKAGE = Path(hwmodels.__file__).parent
FILES = sorted(path for path in PACKAGE.glob("*/*.toml") if path.name != "references.toml")


def sources(value, inside=False):
    """Every source string of a file: values of `source`, and all of `[sources]`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from sources(item, inside or key in ("source", "sources"))
    elif isinstance(value, list):
        for item in value:
            yield from sources(item, inside)
    elif inside and isinstance(value, str):
        yield value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_packaged_source_resolves(path):
    found = set(sources(tomllib.loads(path.read_text())))
    assert found
    lost = [source for source in found if not references.resolve(source) and not references.is_own(source)]
    assert lost == []


def test_every_publication_with_words_is_named_somewhere():
    named = {
        key for path in FILES for text in sources(tomllib.loads(path.read_text())) for key in references.resolve(text)
    }
    assert named == {key for key, reference in references.references().items() if reference.match}


def test_a_source_may_name_several():
    assert references.resolve("V. Milo et al., IRPS 2021: 225 µS, as restated in CrossSim 3, RRAM_Milo.py") == [
        "crosssim",
        "milo2021programming",
    ]
    assert references.resolve("somebody's notebook") == []
    assert not references.is_own("somebody's notebook")


def test_bibtex_is_well_formed():
    everything = references.bibtex(references.references())
    preamble, *entries = re.split(r"\n(?=@)", everything)
    assert preamble.startswith("@preamble")  # so that \\url is known without a package
    assert len(entries) == len(references.references())
    for entry in entries:
        assert entry.count("{") == entry.count("}")
        assert re.match(r"@(article|inproceedings|misc)\{[a-z0-9]+,\n", entry)
        assert not re.search(r"(?<!\\)[&%#]", entry.replace("\\url", ""))
    required = {
        "article": ("author", "title", "journal", "year"),
        "inproceedings": ("author", "title", "booktitle", "year"),
    }
    for reference in references.references().values():
        for name in required.get(reference.kind, ("title",)):
            assert reference.fields.get(name), (reference.key, name)
    assert references.bibtex(["boyd2011admm", "boyd2011admm"]).count("@") == 1
    with pytest.raises(UserError, match="boyd2011admm"):
        references.bibtex(["boyd2011amdm"])
