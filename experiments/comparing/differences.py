"""What differs between entries, and which of the differences mean something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import pandas as pd

from experiments.comparing.metrics import ALIASES, CONTEXT, METRICS, Entry, Metric

SAME = 5e-4
"""Relative difference below which two values of an axis count as the same."""


@dataclass(frozen=True)
class Line:
    """One axis over all entries. numbers: None: not known; differences: to the first entry, None: no or not comparable.

    why: for each entry why it cannot be compared with the first, "" where it can; overlap: whether the intervals of
    both overlap, so that the difference may be chance.
    """

    key: str
    metric: Metric
    numbers: tuple[float | None, ...]
    ends: tuple[tuple[float, float] | None, ...]
    differences: tuple[float | None, ...]
    why: tuple[str, ...]
    overlap: tuple[bool, ...]

    @property
    def size(self) -> float:
        """How much the entries differ, comparable or not: log of the largest ratio, or the largest gap of shares."""
        known = [value for value in self.numbers if value is not None]
        if len(known) < 2:
            return 0.0
        low, high = min(known), max(known)
        if self.metric.share:
            return high - low
        return log(high / low) if low > 0 else float(high > low)

    @property
    def differs(self) -> bool:
        """Whether any two known values are not the same."""
        return self.size > SAME


@dataclass(frozen=True)
class Setting:
    """A key of the configuration that is not the same everywhere; None: not stated."""

    key: str
    told: tuple[object, ...]


@dataclass(frozen=True)
class Comparison:
    """Entries on the same axes: the lines that differ, largest first; those that do not; settings; what to know."""

    entries: tuple[Entry, ...]
    differing: tuple[Line, ...]
    same: tuple[Line, ...]
    settings: tuple[Setting, ...]
    cautions: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """A row per axis and entry: metric, unit, entry, kind, value, low, high, difference, comparable, note, source.

        value and its ends in the unit of the axis (shares as fractions); difference: to the first entry, a share's in
        the same fractions, any other as the relative change; comparable: whether that difference means something.
        """
        rows = []
        for line in (*self.differing, *self.same):
            for number, entry in enumerate(self.entries):
                low, high = line.ends[number] or (None, None)
                rows.append(
                    {
                        "metric": line.key,
                        "unit": "share" if line.metric.share else line.metric.unit,
                        "entry": entry.name,
                        "kind": entry.kind,
                        "value": line.numbers[number],
                        "low": low,
                        "high": high,
                        "difference": line.differences[number],
                        "comparable": not line.why[number],
                        "note": line.why[number],
                        "source": entry.source,
                    }
                )
        columns = [
            "metric",
            "unit",
            "entry",
            "kind",
            "value",
            "low",
            "high",
            "difference",
            "comparable",
            "note",
            "source",
        ]
        numbers = dict.fromkeys(("value", "low", "high", "difference"), "float64")
        return pd.DataFrame(rows, columns=columns).astype(numbers)


def compare(entries: Sequence[Entry]) -> Comparison:
    """Entries beside each other; every difference is to the first one."""
    lines = [_line(key, metric, entries) for key, metric in METRICS.items()]
    lines = [line for line in lines if any(value is not None for value in line.numbers)]
    differing = sorted((line for line in lines if line.differs), key=lambda line: -line.size)
    return Comparison(
        entries=tuple(entries),
        differing=tuple(differing),
        same=tuple(line for line in lines if not line.differs),
        settings=tuple(_settings(entries)),
        cautions=tuple(_cautions(entries, lines)),
    )


def _line(key: str, metric: Metric, entries: Sequence[Entry]) -> Line:
    values = tuple(entry.numbers.get(key) for entry in entries)
    ends = tuple(_ends(entry, metric) for entry in entries)
    why = tuple(unlike(entries[0], entry, metric) for entry in entries)
    differences, overlap = [], []
    for value, end, reason in zip(values, ends, why, strict=True):
        first = values[0]
        known = value is not None and first is not None and not reason
        differences.append(
            _difference(first, value, metric) if known and value is not None and first is not None else None
        )
        overlap.append(ends[0] is not None and end is not None and end[0] <= ends[0][1] and ends[0][0] <= end[1])
    differences[0], overlap[0] = None, False
    return Line(key, metric, values, ends, tuple(differences), why, tuple(overlap))


def _difference(first: float, value: float, metric: Metric) -> float | None:
    """Of shares in shares, else relative to the first."""
    if metric.share:
        return value - first
    return value / first - 1 if first else None


def _ends(entry: Entry, metric: Metric) -> tuple[float, float] | None:
    if metric.interval is None:
        return None
    low, high = (entry.numbers.get(name) for name in metric.interval)
    return None if low is None or high is None or low >= high else (low, high)


def unlike(first: Entry, other: Entry, metric: Metric) -> str:
    """Why a metric of two entries cannot be compared; "" where it can, as far as they state what it needs."""
    reasons = [
        f"other {CONTEXT[key]}: {_told(first.context.get(key))} and {_told(other.context.get(key))}"
        for key in metric.needs
        if _alike(first.context.get(key), other.context.get(key)) is False
    ]
    return "; ".join(reasons)


def _told(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _alike(one: object, other: object) -> bool | None:
    """Whether two statements agree; None where one of them is missing."""
    if one is None or other is None:
        return None
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= 1e-9 * max(abs(one), abs(other))
    return _plain(one) == _plain(other)


def _plain(value: object) -> str:
    text = str(value).lower()
    return ALIASES.get(text, text)


def _settings(entries: Sequence[Entry]) -> list[Setting]:
    """Keys that not all set alike. A configuration without a key has it not set; a published row just does not say."""
    keys = dict.fromkeys(key for entry in entries for key in entry.settings)
    configured = [entry for entry in entries if entry.settings and entry.kind != "published"]
    found = []
    for key in keys:
        stated = any(key in entry.settings for entry in configured)
        told = [str(entry.settings.get(key)) for entry in configured if stated]
        told += [str(entry.settings[key]) for entry in entries if entry.kind == "published" and key in entry.settings]
        if len(set(told)) > 1 or not stated:
            found.append(Setting(key, tuple(entry.settings.get(key) for entry in entries)))
    return found


def _cautions(entries: Sequence[Entry], lines: Sequence[Line]) -> list[str]:
    """What cannot be compared and why, what was not stated, and what may be chance."""
    found = _incomparable(entries, lines)
    found += _unstated(entries, lines)
    for line in lines:
        for entry, overlap, value in zip(entries, line.overlap, line.differences, strict=True):
            if overlap and value:
                found.append(
                    f"{line.metric.words}: the 95 % intervals of {entry.name} and {entries[0].name} overlap, so the "
                    "difference may be chance."
                )
    return found + [f"{entry.name}: {note}." for entry in entries for note in entry.notes]


def _incomparable(entries: Sequence[Entry], lines: Sequence[Line]) -> list[str]:
    """A sentence for all entries that the same reasons keep from being compared, with what they have apart."""
    alike: dict[str, tuple[list[str], dict[str, None]]] = {}
    stated = [line for line in lines if line.numbers[0] is not None]
    for number, entry in enumerate(entries):
        lacking = [line for line in stated if line.why[number] and line.numbers[number] is not None]
        if lacking:
            why = "; ".join(dict.fromkeys(reason for line in lacking for reason in line.why[number].split("; ")))
            names, words = alike.setdefault(why, ([], {}))
            names.append(entry.name)
            words.update(dict.fromkeys(line.metric.words for line in lacking))
    return [
        f"{_named(names)} cannot be compared with {entries[0].name} in {', '.join(words)}: {why}."
        for why, (names, words) in alike.items()
    ]


def _unstated(entries: Sequence[Entry], lines: Sequence[Line]) -> list[str]:
    """What differences rest on that an entry does not state."""
    silent: dict[str, list[str]] = {}
    for number, entry in enumerate(entries):
        # The first is in every difference.
        at = slice(1, None) if number == 0 else slice(number, number + 1)
        used = [line for line in lines if any(known is not None for known in line.differences[at])]
        needs = dict.fromkeys(key for line in used for key in line.metric.needs)
        missing = [CONTEXT[key] for key in needs if entry.context.get(key) is None]
        if missing:
            silent.setdefault(", ".join(missing), []).append(entry.name)
    return [f"{_named(names)}: {missing} not stated, taken to be the same." for missing, names in silent.items()]


def _named(names: Sequence[str]) -> str:
    """A few names, the rest counted."""
    if len(names) <= 3:
        return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    return f"{', '.join(names[:2])} and {len(names) - 2} more"
