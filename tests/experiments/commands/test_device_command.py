import subprocess
import sys

import numpy as np
import pytest

from experiments.cli import command
from experiments.reporting import device_figures, drawing
from hwmodels import Device, program


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def measurements(path, n=20):
    true = Device(name="true", g_min_s=2e-6, g_max_s=2e-5, levels=3)
    rng = np.random.default_rng(0)
    lines = ["target_us,reading_us"]
    for target in true.level_conductances() * 1e6:
        lines += [f"{target},{target + rng.normal(0, 0.3)}" for _ in range(n)]
    path.write_text("\n".join(lines))
    return path


def test_a_device_shows_every_effect_with_its_source(capsys):
    assert command(["devices", "pcm-like"]) == 0
    out = capsys.readouterr().out
    for word in ("drift", "power-law", "t0_s = 20", "read_noise", "Nandakumar"):
        assert word in out
    assert command(["devices"]) == 0
    assert "verify" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["neurram", "ideal", "ecram", "stt-mram"])
def test_a_picture_on_request(name, capsys, tmp_path):
    assert command(["devices", name, "--figure", "new/levels.svg"]) == 0
    assert "Picture: new/levels.svg" in capsys.readouterr().out
    svg = (tmp_path / "new" / "levels.svg").read_text()
    assert name in svg
    assert "conductance [µS]" in svg
    assert command(["devices", name, "--figure=again.svg"]) == 0
    assert (tmp_path / "again.svg").read_text() == svg, "equal data, equal bytes"


def test_the_picture_shows_what_program_gives():
    from matplotlib.figure import Figure

    device = Device.load("hfox").with_(levels=3)
    figure = Figure()
    device_figures.distributions(device)(figure)
    stairs = figure.axes[0].patches
    assert len(stairs) == 3
    for k, target in enumerate(device.level_conductances()):
        counts, edges, _ = stairs[k].get_data()
        middle = (edges[1:] + edges[:-1]) / 2
        mean = (counts * middle).sum() / counts.sum()
        cells = program(np.full((1, 40_000), target), device) * 1e6
        assert mean == pytest.approx(target * 1e6, abs=0.2)
        spread = np.sqrt((counts * (middle - mean) ** 2).sum() / counts.sum())
        assert spread == pytest.approx(cells.std(), rel=0.05)


def test_the_picture_of_a_non_linear_device_has_its_i_v(capsys, tmp_path):
    from matplotlib.figure import Figure

    device, figure = Device.load("hfox"), Figure()
    device_figures.distributions(device)(figure)
    _, current, lack = figure.axes
    linear, cell = (line.get_xydata() for line in current.lines[4:6])  # the last conductance drawn: g_min
    assert linear[-1] == pytest.approx((0.5, 25.0))
    assert cell[-1] == pytest.approx((0.5, 25.0 * (1 - 0.28636)), rel=1e-4)
    assert lack.lines[2].get_ydata()[-1] == pytest.approx(-28.636, rel=1e-4)
    assert command(["devices", "hfox", "--figure", "hfox.svg"]) == 0
    assert "polynomial" in capsys.readouterr().out
    assert "what a linear cell lacks" in (tmp_path / "hfox.svg").read_text()
    figure = Figure()
    device_figures.distributions(device.with_(conduction=None))(figure)
    assert len(figure.axes) == 1


def test_fit_writes_a_device_and_its_pictures(capsys, tmp_path):
    measurements(tmp_path / "m.csv")
    assert command(["devices", "fit", "m.csv", "--out", "out/mine.toml"]) == 0
    out = capsys.readouterr().out
    assert "bias [µS]" in out
    device = Device.load(tmp_path / "out" / "mine.toml")
    assert device.name == "mine"
    assert device.levels == 3
    assert "m.csv" in device.sources["programming_error"]
    assert "residual / σ" in (tmp_path / "out" / "mine.svg").read_text()
    assert (tmp_path / "out" / "mine.png").read_bytes().startswith(b"\x89PNG")
    assert command(["devices", "out/mine.toml"]) == 0
    assert command(["devices", "m.csv"]) == 0, "measurements show as the device that they make"


def test_fit_of_states_shows_how_evenly_they_stand(capsys, tmp_path):
    (tmp_path / "mem_states.csv").write_text("mean,std\n1e-5,1e-7\n4e-5,1e-7\n5e-5,1e-7\n")
    assert command(["devices", "fit", "mem_states.csv", "--out", "d.toml"]) == 0
    assert "NeuroSim" in capsys.readouterr().out
    assert "off even spacing" in (tmp_path / "d.svg").read_text()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fit"], "takes one file of measurements and --out"),
        (["fit", "m.csv"], "takes one file of measurements and --out"),
        (["fit", "m.csv", "--out", "x.json"], "A device file ends in .toml"),
        (["fit", "nowhere.csv", "--out", "x.toml"], "There is no file 'nowhere.csv'"),
        (["fit", "m.csv", "--figure", "x.svg"], "takes no '--figure' here"),
        (["hfox", "--figur", "x.svg"], "takes no '--figur' here"),
        (["hfox", "--figure"], "--figure needs a value"),
        (["hfox", "--figure", "x.bmp"], "A picture ends in .svg"),
        (["--figure", "x.svg"], "Which device?"),
        (["hfox", "pcm-like"], "takes no 'pcm-like'"),
    ],
)
def test_a_mistake_is_one_message_and_writes_nothing(args, message, capsys, tmp_path):
    assert command(["devices", *args]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_and_no_heavy_packages(capsys):
    assert command(["devices", "--help"]) == 0
    assert "fit DATA" in capsys.readouterr().out
    code = "import sys; from experiments.cli import command; command(['devices', 'hfox']); "
    code += "assert not {'torch', 'numba', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_pictures_in_every_format(tmp_path):
    draw = device_figures.distributions(Device.load("yuan2019"))
    for kind in drawing.FORMATS:
        assert device_figures.save(draw, tmp_path / f"x.{kind}").stat().st_size > 1000
