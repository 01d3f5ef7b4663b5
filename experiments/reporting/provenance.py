"""Where the numbers of the page come from: for each a panel with its parts, what one costs, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from experiments.explaining.explain import Result
from experiments.explaining.tree import OPERATIONS, Node
from experiments.reporting.wording import count, number, share
from hwmodels.errors import UserError

Record = Mapping[str, Any]

_INDENT = "\u2003"

MOST_SOURCES = 3
"""Sources that a line of a panel names; the tree of `ohmweave explain` has all of them."""


def anchor(key: str) -> str:
    """The id of a key's panel."""
    return f"how-{key.replace('.', '-')}"


def panels(record: Record, tables: Mapping[str, pd.DataFrame], keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A panel for each key that can be explained: id, key, sentence, and lines of part, value, how and source."""
    result = Result(record, dict(tables))
    found = {}
    for key in dict.fromkeys(keys):
        if key in result.numbers:
            try:
                found[key] = _panel(key, result.explain(key))
            except UserError:  # the tables of an earlier version do not say
                continue
    return found


def _panel(key: str, node: Node) -> dict[str, Any]:
    label = node.label
    # A sum of one thing is told through that thing.
    while len(node.parts) == 1 and node.how in ("sum", "product") and node.parts[0].parts:
        node = node.parts[0]
    lines = [line for part in node.parts or (node,) for line in _lines(part)]
    how = f"{OPERATIONS[node.how][0]}:" if node.parts else ""
    return {"id": anchor(key), "key": key, "value": value_text(node), "label": label, "how": how, "lines": lines}


def _lines(part: Node) -> list[list[str]]:
    """A part with what it is made of; below a sum of counts × prices its summands, set in."""
    own = [part.label, value_text(part), _how(part), sources(part)]
    inner = part
    while len(inner.parts) == 1 and inner.parts[0].parts:
        inner = inner.parts[0]
    summands = inner.parts if inner.how == "sum" and any(summand.parts for summand in inner.parts) else ()
    return [own, *([f"{_INDENT}{one.label}", value_text(one), _how(one), sources(one)] for one in summands)]


def value_text(node: Node) -> str:
    """A number with its unit; shares as per cent."""
    value = node.value
    if not node.unit and node.how in ("quotient", "mean", "low_share", "high_share", "saved") and abs(value) <= 1:
        return share(value) if value >= 0 else number(value)
    text = count(value) if float(value).is_integer() and abs(value) < 1e9 else number(value, 4)
    return f"{text}\u00a0{node.unit}" if node.unit else text


def _how(node: Node) -> str:
    if not node.parts:
        return node.note
    text = formula(node, 3)
    return f"sum of {len(node.parts)}" if text == value_text(node) and node.how == "sum" else text


def formula(node: Node, depth: int) -> str:
    """What a number is made of as one line: 24 converters × 0.0096 mm² / 8; sums of many as their value."""
    if not node.parts or depth == 0:
        return value_text(node)
    if node.how == "inverse":
        return f"1 / {_inner(node.parts[0], depth)}"
    if node.how == "square":
        return f"({value_text(node.parts[0])})²"
    if node.how == "product":
        return _product(node, depth)
    if node.how in ("quotient", "saved"):
        first, second = (_inner(part, depth - 1) for part in node.parts)
        return f"{first} / {second}" if node.how == "quotient" else f"1 − {first} / {second}"
    if node.how == "largest":
        return f"max({', '.join(formula(part, depth - 1) for part in node.parts)})"
    if node.how == "sum" and len(node.parts) <= 3:
        return " + ".join(_inner(part, depth - 1) for part in node.parts)
    return value_text(node)


def _product(node: Node, depth: int) -> str:
    """Factors with ×, inverses with /."""
    text = ""
    for part in node.parts:
        if part.how == "inverse" and text:
            text += f" / {_inner(part.parts[0], depth - 1)}"
        else:
            text += f"{' × ' if text else ''}{_inner(part, depth - 1)}"
    return text


def _inner(node: Node, depth: int) -> str:
    """A part inside a formula, in brackets where it is a sum; a unit of counting stays with its number."""
    text = formula(node, depth)
    return f"({text})" if node.how == "sum" and " + " in text else text


def sources(node: Node) -> str:
    """Who says so: the different sources below, the first few of them."""
    found = list(dict.fromkeys(leaf.source for leaf in node.leaves() if leaf.source))
    more = f"; and {len(found) - MOST_SOURCES} more" if len(found) > MOST_SOURCES else ""
    return "; ".join(found[:MOST_SOURCES]) + more
