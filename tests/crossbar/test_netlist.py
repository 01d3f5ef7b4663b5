import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from crossbar import Wiring, effective_conductance, run_netlist, solve, write_netlist
from hwmodels.errors import UserError

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("wires.json").read_text())["cases"]
CASES = [pytest.param(case, id=case["name"]) for case in GOLDEN]
REQUIRED = os.environ.get("OHMWEAVE_REQUIRE_NGSPICE", "0") not in ("", "0")
live = pytest.mark.skipif(
    shutil.which("ngspice") is None and not REQUIRED,
    reason="ngspice is not installed (apt-get install ngspice); the committed currents are compared all the same",
)


def difference(found, case):
    """Largest error of any current as a share of the largest one of the same input."""
    expected = np.array(case["currents"])
    return (np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)).max()


def kept(case):
    """Wires and wiring of a case."""
    return {**case["wires"], "wiring": Wiring(**case["wiring"])}


def test_there_are_enough_cases():
    assert len(GOLDEN) >= 10
    assert {r for case in GOLDEN for r in case["wires"].values()} >= {0.1, 1, 5, 50}
    assert any(max(map(max, case["g"])) >= 0.1 for case in GOLDEN)
    assert any(min(map(min, case["g"])) == 0 for case in GOLDEN)
    options = ("r_access_ohm", "r_far_source_ohm", "driven")
    assert all(any(option in case["wiring"] for case in GOLDEN) for option in options)
    assert {case["wiring"].get("undriven") for case in GOLDEN} >= {"grounded", "floating", "off"}


@pytest.mark.skipif(not REQUIRED, reason="OHMWEAVE_REQUIRE_NGSPICE is not set: live cases may be skipped")
def test_ngspice_is_there():
    assert shutil.which("ngspice"), "OHMWEAVE_REQUIRE_NGSPICE is set and ngspice is not installed"


@pytest.mark.parametrize("case", CASES)
def test_effective_conductance_is_what_ngspice_says(case):
    assert difference(np.array(case["v"]) @ effective_conductance(case["g"], **kept(case)), case) <= 1e-12


@pytest.mark.parametrize("method", ["direct", "cg"])
@pytest.mark.parametrize("case", CASES)
def test_solve_is_what_ngspice_says(case, method):
    assert difference(solve(case["g"], case["v"], **kept(case), method=method).currents, case) <= 1e-10


@live
@pytest.mark.parametrize("case", CASES)
def test_netlists_run(case, tmp_path):
    path = write_netlist(tmp_path / "array.cir", case["g"], case["v"], **kept(case))
    assert difference(run_netlist(path, len(case["g"][0])), case) <= 1e-9


@live
@pytest.mark.slow
def test_a_larger_netlist(tmp_path):
    rng = np.random.default_rng(0)
    g, v = 10 ** rng.uniform(-6, -4, (64, 64)), rng.uniform(0, 1, (1, 64))
    found = run_netlist(write_netlist(tmp_path / "array.cir", g, v, 1.0, 1.0), 64)
    assert difference(v @ effective_conductance(g, 1.0, 1.0), {"currents": found}) <= 1e-9


def elements(path):
    """Element lines of a netlist: {name: (node, node, value)}."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return {line[0]: tuple(line[1:]) for line in lines if line and line[0][0] in "RV" and len(line) == 4}


def test_the_circuit_is_written_out(tmp_path):
    path = write_netlist(tmp_path / "a.cir", [[1e-5, 0.0], [2e-5, 4e-5]], [0.5, 0.25], 2.0, 3.0, 10.0, 20.0)
    found = elements(path)
    resistors = sorted((a, b, float(value)) for name, (a, b, value) in found.items() if name.startswith("R"))
    expected = [
        ("b0_0", "b1_0", 3.0),
        ("b0_1", "b1_1", 3.0),
        ("b1_0", "s0", 23.0),
        ("b1_1", "s1", 23.0),
        ("d0", "w0_0", 12.0),
        ("d1", "w1_0", 12.0),
        ("w0_0", "b0_0", 1e5),
        ("w0_0", "w0_1", 2.0),
        ("w1_0", "b1_0", 5e4),
        ("w1_0", "w1_1", 2.0),
        ("w1_1", "b1_1", 2.5e4),
    ]
    assert [ends[:2] for ends in resistors] == [ends[:2] for ends in expected]
    np.testing.assert_allclose([ends[2] for ends in resistors], [ends[2] for ends in expected], rtol=1e-15)
    assert found["Vdriver1"] == ("d1", "0", "0.25")
    assert found["Vsink0"] == ("s0", "0", "0")
    text = path.read_text()
    assert ".options reltol=1e-9 abstol=1e-18 vntol=1e-12 numdgt=15" in text
    assert text.index(".control") < text.index("quit 0") < text.index(".endc") < text.index(".end\n")


def test_the_options_are_written_out(tmp_path):
    g = [[1e-5, 0.0], [0.0, 0.0], [2e-5, 4e-5], [1e-5, 1e-5]]
    driven, v = (True, False, False, True), [0.5, 0.1, 0.2, 0.3]
    wiring = Wiring(r_access_ohm=7.0, r_far_source_ohm=9.0, driven=driven, undriven="floating")
    path = write_netlist(tmp_path / "a.cir", g, v, 2.0, 3.0, wiring=wiring)
    assert "\n* word line 1 floats and leads nowhere: left out\n" in path.read_text()
    found = elements(path)
    assert sorted(name for name in found if name.startswith("Vdriver")) == ["Vdriver0", "Vdriver3"]
    assert found["Raccess2_1"] == ("x2_1", "b2_1", "7.0")
    assert found["Rcell2_1"][:2] == ("w2_1", "x2_1")
    nodes = [ends[:2] for name, ends in found.items() if name.startswith("Rwire")]
    assert ("d0", "w0_0") in nodes
    assert ("d0", "w0_1") in nodes  # the second driver
    assert not any("d2" in pair or "d1" in pair or "w1_0" in pair for pair in nodes)
    off = elements(write_netlist(tmp_path / "a.cir", g, v, 2.0, 3.0, wiring=Wiring(driven=driven, undriven="off")))
    assert off["Vdriver2"] == ("d2", "0", "0.0")
    assert "Rcell2_0" not in off


def test_ideal_wires_join_their_nodes(tmp_path):
    found = elements(write_netlist(tmp_path / "a.cir", np.full((2, 2), 1e-5), [1.0, 1.0], 0.0, 0.0))
    assert {name: ends[:2] for name, ends in found.items() if name.startswith("R")} == {
        f"Rcell{i}_{j}": (f"d{i}", f"s{j}") for i in range(2) for j in range(2)
    }


def test_errors_name_the_way_out(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"^Cannot write the netlist .*nowhere.*Give another path\.$"):
        write_netlist(tmp_path / "nowhere" / "a.cir", [[1e-5]], [1.0], 1.0, 1.0)
    with pytest.raises(UserError, match=r"^v has shape \(2,\) for 1 word lines\."):
        write_netlist(tmp_path / "a.cir", [[1e-5]], [1.0, 1.0], 1.0, 1.0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^ngspice is not installed\. Install it"):
        run_netlist(tmp_path / "a.cir", 1)


@live
def test_a_file_that_is_no_netlist(tmp_path):
    (tmp_path / "a.cir").write_text("* nothing\n.control\nquit 0\n.endc\n.end\n")
    with pytest.raises(UserError, match=r"^ngspice gave 0 currents of .*, not 3 for each input"):
        run_netlist(tmp_path / "a.cir", 3)
