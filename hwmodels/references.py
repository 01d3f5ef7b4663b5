"""The publications behind the packaged numbers: from a source string to its BibTeX.

A number's source is a sentence for people ("Shafiee et al., ISAAC, ISCA 2016, Table I"); `tables/references.toml` knows
by which words such sentences name a publication.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from hwmodels.errors import unknown

_FIELDS = (
    "author", "title", "booktitle", "journal", "volume", "pages", "year", "doi", "eprint", "howpublished", "note",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A publication; kind: of the BibTeX entry; fields: name → text in Unicode; match: words that name it."""

    key: str
    kind: str
    fields: dict[str, str]
    match: tuple[str, ...]

    @property
    def bibtex(self) -> str:
        """The entry as BibTeX, capitals of the title kept."""
        lines = [f"  {name} = {{{_protected(name, text)}}}" for name, text in self.fields.items()]
        if "eprint" in self.fields:
            lines.append("  archiveprefix = {arXiv}")
        return f"@{self.kind}{{{self.key},\n" + ",\n".join(lines) + "\n}\n"


_URL = '@preamble{"\\providecommand{\\url}[1]{\\texttt{\\detokenize{#1}}}"}\n'
"""Where neither the style nor a package knows addresses."""


def _protected(name: str, text: str) -> str:
    if name in ("doi", "eprint"):
        return text
    if name == "howpublished":
        return f"\\url{{{text}}}"
    escaped = "".join(f"\\{letter}" if letter in "&%$#_" else letter for letter in text)
    return f"{{{escaped}}}" if name == "title" else escaped


@cache
def references() -> dict[str, Reference]:
    """All publications that are known, by key."""
    return {key: _reference(key, entry) for key, entry in _table().items() if key != "own"}


def _reference(key: str, entry: dict[str, object]) -> Reference:
    fields = {name: str(entry[name]) for name in _FIELDS if name in entry}
    match = entry["match"]
    assert isinstance(match, list)
    assert set(entry) <= {*_FIELDS, "type", "match"}, f"unknown fields of {key}"
    return Reference(key=key, kind=str(entry["type"]), fields=fields, match=tuple(match))


@cache
def _table() -> dict[str, dict[str, object]]:
    return tomllib.loads(resources.files("hwmodels").joinpath("tables/references.toml").read_text("utf-8"))


def resolve(source: str) -> list[str]:
    """Keys of the publications that a source string names, in the order of the table; none where it names none."""
    return [key for key, reference in references().items() if any(words in source for words in reference.match)]


def is_own(source: str) -> bool:
    """Whether a source string says that its number was chosen or found nowhere."""
    return source.startswith(tuple(map(str, _table()["own"])))


def bibtex(keys: Iterable[str]) -> str:
    """A BibTeX file with these publications, each once; it needs no LaTeX package.

    Raises UserError for a key that is not known.
    """
    known, found = references(), []
    for key in dict.fromkeys(keys):
        if key not in known:
            raise unknown("publication", key, known)
        found.append(known[key].bibtex)
    if any("\\url" in entry for entry in found):
        found.insert(0, _URL)
    return "\n".join(found)
