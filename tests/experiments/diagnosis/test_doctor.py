"""The doctor finds this installation healthy, and sees what is broken on purpose."""

import json

import numpy as np
import pytest

from experiments.cli import command
from experiments.diagnosis import checks, circuits, costs, doctor, machine, networks, projections, randomness
from experiments.diagnosis.checks import Case, Skip, at_most, close, equal, made


@pytest.fixture(scope="module")
def found():
    return doctor.diagnose()


def test_this_installation_is_healthy(found):
    assert found.healthy, [check for check in found.checks if check.status == "fail"]
    assert {check.subject for check in found.checks} == set(doctor.SUBJECTS)
    assert all(check.value and check.expected for check in found.checks if check.status == "pass")
    assert all(check.note for check in found.checks if check.status == "skip")
    assert {"python", "torch", "numba threads", "gpu", "memory", "disk free here", "ngspice"} <= set(found.facts)


def test_it_is_told_for_people_and_for_programs(found):
    text = "\n".join([*map(doctor.line, found.checks), doctor.ending(found)])
    assert "ok   costs: ISAAC tile, power: 329.8" in text
    assert "0 failed" in text
    plain = json.loads(found.json())
    assert plain["schema"] == "ohmweave.doctor/1"
    assert plain["healthy"] is True
    assert len(plain["checks"]) == len(found.checks)


def failing(subject, cases):
    return {check.name for check in made(subject, cases) if check.status == "fail"}


def test_broken_costs_are_seen(monkeypatch):
    plain = costs.machine
    monkeypatch.setattr(costs, "machine", lambda *args: tuple(1.01 * value for value in plain(*args)))
    assert failing("costs", costs.cases()) == {"ISAAC core, power", "ISAAC core, area"}


def test_broken_wires_are_seen(monkeypatch):
    plain = circuits.effective_conductance
    monkeypatch.setattr(circuits, "effective_conductance", lambda g, *ohm: plain(g, *ohm) * (1 + 1e-9))
    names = failing("circuits", circuits.cases())
    assert len(names) == 4
    assert not any("ngspice" in name or "mirror" in name for name in names)


def test_broken_random_words_are_seen(monkeypatch):
    plain = randomness.philox4x32
    monkeypatch.setattr(randomness, "philox4x32", lambda counter, key: plain(counter, key) ^ np.uint64(1))
    assert failing("random words", randomness.cases()) == {"Philox in NumPy"}


def test_a_broken_projection_is_seen(monkeypatch):
    import admm.constraints as sets

    monkeypatch.setattr(sets.Filter, "project", lambda self, w: w)
    assert failing("projections", projections.cases()) == {"Filter(2) of 4 filters: all 6 choices"}


def test_a_broken_placement_is_seen(monkeypatch):
    monkeypatch.setattr(networks, "ceil", int)
    assert len(failing("networks on arrays", networks.cases()[:3])) == 3


def test_too_little_room_and_an_unwritable_folder_are_seen(monkeypatch):
    monkeypatch.setattr(machine, "_memory_gb", lambda: 0.5)

    def denied(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "NamedTemporaryFile", denied)
    assert failing("machine", machine.cases()) == {"memory", "this folder can be written"}


def test_a_failure_says_what_was_found_and_ends_with_1(monkeypatch, capsys):
    def raises():
        raise ImportError("no module named torch")

    def skipped():
        raise Skip("no such thing here")

    cases = [Case("breaks", raises), Case("is skipped", skipped), Case("is off", lambda: equal(3, 4, "a book"))]
    monkeypatch.setattr(doctor, "SUBJECTS", {"one": lambda: cases, "two": raises})
    assert command(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "found:    ImportError: no module named torch" in said
    assert "skip one: is skipped (no such thing here)" in said
    assert "found:    3\n       expected: 4\n       a book" in said
    assert "FAIL two: setting up" in said
    assert "0 passed, 3 failed, 1 skipped" in said
    assert command(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["healthy"] is False


def test_comparisons_have_a_limit_on_both_sides():
    assert close(1.0, 1.001, 0.002)[2]
    assert not close(1.0, 1.01, 0.002)[2]
    assert not close(float("nan"), 1.0, 0.5)[2]
    assert at_most(1.0, 1.0)[2]
    assert not at_most(float("nan"), 1.0)[2]
    assert checks.equal([1], [1])[2]
