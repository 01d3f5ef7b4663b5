"""Data flows one way, imports are light, and the public entry points keep their names."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_imports_run_down_the_floors():
    """hwmodels ← crossbar ← {admm, mapping} ← experiments, as pyproject.toml says it."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("hwmodels", ("torch", "numba", "matplotlib", "scipy.stats")),
        ("crossbar", ("torch", "numba", "matplotlib", "scipy.stats")),
        ("experiments.cli", ("torch", "numba", "matplotlib", "scipy")),
    ],
)
def test_importing_is_light(package, unwanted):
    code = f"import sys, {package}; print([name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_entry_points():
    import admm
    import crossbar
    import hwmodels
    import mapping

    for package, names in {
        hwmodels: ("Device", "Library", "program", "estimate", "Estimate"),
        crossbar: ("ArraySpec",),
        admm: ("Plan", "compress", "Compressed", "constraints"),
        mapping: ("place", "Placement", "CrossbarNetwork"),
    }.items():
        for name in names:
            assert hasattr(package, name), f"{package.__name__}.{name}"


def test_nothing_names_a_workplace():
    """Only a person's --data-dir says where data lies: no absolute path of a machine is in the project."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in (".py", ".toml", ".md", ".j2", ".json", "") and path.is_file() and path != Path(__file__):
            text = path.read_text(errors="ignore")
            assert "/home/" not in text, name
            assert "/work/" not in text, name
