"""README and docs are executed: every python block runs, every text block behind one is what it prints."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class _Python(CodeBlockParser):
    language = "python"

    def evaluate(self, example):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            PythonEvaluator()(example)
        example.namespace["_printed"] = printed.getvalue()


class _Printed(CodeBlockParser):
    language = "text"

    def evaluate(self, example):
        """The words must be equal; numbers may differ by 2 % or 0.02 (training differs between processors)."""
        printed, shown = example.namespace.pop("_printed", ""), str(example.parsed)
        assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", shown).split(), printed
        for found, expected in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
            assert float(found) == pytest.approx(float(expected), rel=0.02, abs=0.02), printed


def _examples(page):
    document = Sybil(parsers=[_Python(), _Printed()]).parse(page)
    return document, list(document.examples())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run_and_print_what_they_say(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, examples = _examples(page)
    for example in examples:
        example.evaluate()


def test_there_are_blocks_to_run():
    assert sum(len(_examples(page)[1]) for page in PAGES) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target
