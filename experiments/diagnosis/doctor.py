"""All checks of an installation, subject by subject, and how they are told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from experiments.diagnosis import circuits, costs, machine, networks, projections, randomness
from experiments.diagnosis.checks import Case, Check, made

SCHEMA = "ohmweave.doctor/1"
SUBJECTS: dict[str, Callable[[], list[Case]]] = {
    "machine": machine.cases,
    "random words": randomness.cases,
    "costs": costs.cases,
    "circuits": circuits.cases,
    "projections": projections.cases,
    "networks on arrays": networks.cases,
}
"""Subject → its checks; those that load least come first."""
MARKS = {"pass": "ok", "fail": "FAIL", "skip": "skip"}


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found; facts: of the machine."""

    checks: tuple[Check, ...]
    facts: dict[str, str]
    seconds: float

    @property
    def healthy(self) -> bool:
        """Whether no check failed."""
        return all(check.status != "fail" for check in self.checks)

    def json(self) -> str:
        """All of it for a program."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "healthy": self.healthy,
                "seconds": round(self.seconds, 3),
                "facts": self.facts,
                "checks": [asdict(check) for check in self.checks],
            },
            indent=1,
        )


def diagnose(told: Callable[[Check], None] = lambda check: None) -> Diagnosis:
    """Make all checks; told: hears of each as it is made."""
    start, checks = time.perf_counter(), []
    facts = machine.facts()  # first, as a check may start threads
    for check in _each():
        told(check)
        checks.append(check)
    return Diagnosis(checks=tuple(checks), facts=facts, seconds=time.perf_counter() - start)


def _each() -> Iterator[Check]:
    for subject, cases in SUBJECTS.items():
        try:
            found = cases()
        except Exception as error:  # noqa: BLE001  a subject that cannot even be set up has failed
            said = f"{type(error).__name__}: {error}"
            yield Check(subject=subject, name="setting up", status="fail", value=said, expected="no error")
            continue
        for case in found:
            yield from made(subject, [case])


def line(check: Check) -> str:
    """A check in one line; one that failed in three."""
    head = f"{MARKS[check.status]:<5}{check.subject}: {check.name}"
    if check.status == "skip":
        return f"{head} ({check.note})"
    if check.status == "pass":
        return f"{head}: {_short(check.value)}"
    note = f"\n       {check.note}" if check.note else ""
    return f"{head}\n       found:    {check.value}\n       expected: {check.expected}{note}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def ending(diagnosis: Diagnosis) -> str:
    """The facts, and the count of what passed, failed and was skipped."""
    width = max(map(len, diagnosis.facts))
    facts = "\n".join(f"{name:<{width}}  {value}" for name, value in diagnosis.facts.items())
    counts = {status: sum(check.status == status for check in diagnosis.checks) for status in MARKS}
    verdict = (
        "This installation computes what it should." if diagnosis.healthy else "Something is wrong; see FAIL above."
    )
    return (
        f"\n{facts}\n\n{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped in "
        f"{diagnosis.seconds:.1f} s. {verdict}"
    )
