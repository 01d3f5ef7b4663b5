import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from crossbar import CodeHistogram
from crossbar.figures import adc_histogram


def _histogram(values, low=0, top=15, **span):
    values = torch.as_tensor(values, dtype=torch.float64)
    histogram = CodeHistogram.spanning(float(values.min()), float(values.max()), low, top)
    histogram.add(values)
    return histogram


def test_every_sum_is_counted_at_its_code():
    histogram = _histogram([-2.2, 0.2, 0.4, 7.6, 15.4, 15.6, 22.0])
    assert (histogram.first, histogram.width) == (-2, 1)
    counted = {histogram.first + i: int(n) for i, n in enumerate(histogram.counts) if n}
    assert counted == {-2: 1, 0: 2, 8: 1, 15: 1, 16: 1, 22: 1}
    assert histogram.beyond == pytest.approx(3 / 7)
    assert histogram.codes_used == pytest.approx(3 / 16)  # 0, 8 and 15; what clips reads as an end


def test_wide_spans_take_several_codes_a_bin():
    rng = np.random.default_rng(0)
    histogram = _histogram(rng.uniform(-30000, 40000, 5000), low=-32768, top=32767)
    assert histogram.counts.size <= 512
    assert histogram.counts.sum() == 5000
    assert histogram.width == -(-(40000 + 32768) // 512)


def test_the_picture_marks_the_range():
    ax = Figure().add_subplot()
    histogram = _histogram(np.concatenate([np.arange(16), [18.0, 20.0]]))
    adc_histogram(ax, histogram, outside="red")
    assert [line.get_xdata()[0] for line in ax.lines] == [-0.5, 15.5]
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in ax.patches}
    assert {code for code, height in heights.items() if height} == {*range(16), 18, 20}
    red = [bar.get_x() + 0.5 for bar in ax.patches if bar.get_facecolor() == (1.0, 0.0, 0.0, 1.0) and bar.get_height()]
    assert red == [18, 20]
    assert [text.get_text() for text in ax.texts] == ["code 0", "code 15"]


def test_no_matplotlib_is_loaded_before_a_picture_is_drawn():
    import subprocess
    import sys

    code = "import sys, crossbar, crossbar.figures; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
