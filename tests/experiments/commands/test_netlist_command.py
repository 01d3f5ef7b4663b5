"""`ohmweave netlist` as a user meets it."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

import mapping
from crossbar import ArraySpec, run_netlist, solve
from experiments.cli import command
from hwmodels import program


@pytest.fixture(scope="module")
def placement(tmp_path_factory):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(11, 6), nn.ReLU(), nn.Linear(6, 3))
    spec = ArraySpec(rows=8, cols=4, device="hfox", r_word_ohm=5.0, r_bit_ohm=2.0, r_sink_ohm=20.0)
    made = mapping.place(network, spec, torch.rand(4, 11))
    folder = tmp_path_factory.mktemp("run")
    made.save(folder / "placement")
    return folder, made


def _piece(made, layer, number):
    return [piece for piece in made.pieces() if piece.layer.name == layer][number]


def test_the_list_names_every_array(placement, capsys):
    folder, made = placement
    assert command(["netlist", str(folder)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = [int(line[0]) for line in lines if line and line[0].isdecimal()]
    assert found == list(range(made.arrays))


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("seed", [None, 7])
def test_ngspice_gives_the_currents_that_the_network_sees(placement, tmp_path, capsys, seed):
    """The exported array, bit lines down to the last row included, draws what `behind_wires` says."""
    from crossbar.array_circuit import behind_wires

    folder, made = placement
    piece = _piece(made, "0", 1)
    rng = np.random.default_rng(0)
    v = rng.uniform(0, 0.2, (3, piece.tile.rows.size))
    np.savetxt(tmp_path / "v.csv", v, delimiter=",")
    flags = ["--layer", "0", "--array", "1", "--volts", str(tmp_path / "v.csv"), "--out", str(tmp_path / "a.cir")]
    flags += [] if seed is None else ["--seed", str(seed)]
    assert command(["netlist", str(folder), *flags, "--check"]) == 0
    g = piece.target if seed is None else program(piece.target, made.array.device, seed=seed, array=piece.array)
    currents = run_netlist(tmp_path / "a.cir", piece.tile.cols.size)
    assert np.allclose(currents, v @ behind_wires(g, made.array), rtol=1e-6, atol=1e-15)
    assert "ngspice agrees to" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
def test_cells_with_their_own_law(placement, tmp_path, capsys):
    """Verified at the read voltage and read there, they draw within a percent of linear cells, and not the same."""
    folder, _ = placement
    found = {}
    for flag in ([], ["--nonlinear"]):
        out = tmp_path / f"a{len(flag)}.cir"
        assert command(["netlist", str(folder), "--array", "0", "--out", str(out), "--check", *flag]) == 0
        assert float(capsys.readouterr().out.split("ngspice agrees to ")[1].split()[0]) < 1e-6
        found[len(flag)] = run_netlist(out, 4)
    assert np.allclose(found[0], found[1], rtol=0.01)
    assert not np.allclose(found[0], found[1], rtol=1e-6)


def test_linear_devices_have_no_law(tmp_path, capsys):
    made = mapping.place(nn.Linear(4, 3), ArraySpec(rows=8, cols=4, device="yuan2019"), torch.rand(4, 4))
    made.save(tmp_path / "placement")
    assert command(["netlist", str(tmp_path), "--array", "0", "--nonlinear"]) == 2
    assert "its cells are linear" in capsys.readouterr().err


def test_the_picture_and_the_default_voltage(placement, tmp_path, capsys, monkeypatch):
    folder, made = placement
    monkeypatch.chdir(tmp_path)
    assert command(["netlist", str(folder), "--array", "0", "--figure", "maps.png"]) == 0
    assert (tmp_path / "maps.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "0-array-0.cir").exists()
    piece = next(made.pieces())
    wires = (5.0, 2.0, 0.0, 20.0 + 2.0 * (8 - piece.tile.rows.size))
    currents = solve(piece.target, np.full(piece.tile.rows.size, made.array.device.read_voltage_v), *wires).currents
    assert f"{currents.max() * 1e6:.4g} µA" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--layer", "O"], "Unknown layer 'O'"),
        (["--layer", "2", "--array", "9"], "layer '2' has the arrays 0 to"),
        (["--array", "-1"], "the placement has the arrays 0 to"),
        (["--array", "0", "--volts", "lots"], "--volts lots: neither a number nor a CSV file"),
        (["--array", "0", "--figure", "maps.bmp"], "A picture ends in"),
    ],
)
def test_mistakes_are_named(placement, tmp_path, capsys, flags, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(["netlist", str(placement[0]), *flags]) == 2
    assert message in capsys.readouterr().err


def test_voltages_that_do_not_fit(placement, tmp_path, capsys):
    (tmp_path / "v.csv").write_text("0.1,0.2\n")
    assert command(["netlist", str(placement[0]), "--array", "0", "--volts", str(tmp_path / "v.csv")]) == 2
    assert "2 voltages a line, but the array has 8 driven word lines" in capsys.readouterr().err


def test_no_placement(tmp_path, capsys):
    assert command(["netlist"]) == 2
    assert "Which placement?" in capsys.readouterr().err
    assert command(["netlist", str(tmp_path)]) == 2
    assert "placement" in capsys.readouterr().err
