import subprocess
import sys

HEAVY = ("torch", "numba", "matplotlib", "pandas", "scipy")


def loaded_after(script):
    code = f"{script}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_and_loading_presets_stays_light():
    assert loaded_after("import hwmodels; hwmodels.Device.load('hfox'); hwmodels.Library.load('isaac-32nm')") == []


def test_heavy_packages_load_on_use():
    program = "import hwmodels as h, numpy as np; h.program(np.full((2, 2), 1e-4), h.Device.load('hfox'))"
    assert "numba" in loaded_after(program)
