"""Spoken digits are read exactly or refused."""

from __future__ import annotations

import io
import os
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.data import load
from experiments.datasets.fsdd import FEATURES, read_wav
from hwmodels.errors import UserError

NAMES = [f"{digit}_{speaker}_{index}.wav" for digit in (0, 7) for speaker in ("ann", "bo") for index in (0, 4, 5, 11)]


def wav(samples: np.ndarray, rate: int = 8000, channels: int = 1, width: int = 2) -> bytes:
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound:
            sound.setparams((channels, width, rate, 0, "NONE", "not compressed"))
            sound.writeframes(samples.astype(f"<i{width}").tobytes())
        return file.getvalue()


def recording(name: str) -> np.ndarray:
    """A sound of its own for every name."""
    seed = int.from_bytes(name.encode(), "little") % 2**32
    return np.random.default_rng(seed).integers(-3000, 3000, 1000 + seed % 500)


def write(root: Path, ending: str = "", **changed: bytes) -> Path:
    """A small FSDD, as a folder or an archive; `changed`: other content for a file, by its name without .wav."""
    folder = root / "FSDD"
    folder.mkdir(parents=True)
    contents = {name: changed.get(name.removesuffix(".wav"), wav(recording(name))) for name in NAMES}
    if not ending:
        (folder / "recordings").mkdir()
        for name, content in contents.items():
            (folder / "recordings" / name).write_bytes(content)
        return folder / "recordings"
    mode = "w:" + ending.removeprefix(".tar").removeprefix(".")
    with tarfile.open(folder / f"recordings{ending}", mode) as archive:  # type: ignore[call-overload]
        for name, content in reversed(contents.items()):
            member = tarfile.TarInfo(f"recordings/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder / f"recordings{ending}"


@pytest.mark.parametrize("ending", ["", ".tar", ".tar.gz", ".tar.xz"])
def test_recordings_are_read_exactly_and_split_as_published(tmp_path, ending):
    write(tmp_path, ending)
    data = load("fsdd", data_dir=tmp_path)
    trains, tests = ([n for n in sorted(NAMES) if (int(n[:-4].split("_")[2]) < 5) == early] for early in (False, True))
    for names, (x, y) in ((["0_ann_5.wav", "0_ann_11.wav"], data.train), (["0_ann_0.wav", "0_ann_4.wav"], data.test)):
        for place, name in enumerate(names):
            expected = FEATURES.log_mel(recording(name) / 32768)
            assert torch.equal(x[place, 0], torch.from_numpy(expected))
        assert y.tolist() == [0] * 4 + [7] * 4
    assert len(trains) == len(data.train[1])
    assert len(tests) == len(data.test[1])
    assert data.train[0].shape == (8, 1, FEATURES.bands, FEATURES.frames)
    assert (data.classes, data.channels, data.shape, data.normalise) == (10, 1, (40, 64), False)
    assert data.image_size == (40, 64)
    assert float(data.train[0].min()) == 0
    assert float(data.train[0].amax((1, 2, 3)).min()) == 1


def test_a_folder_comes_before_an_archive_and_nothing_is_written(tmp_path):
    folder = write(tmp_path)
    (tmp_path / "FSDD" / "recordings.tar.xz").write_bytes(b"not looked at")
    (folder / "README.md").write_text("other files do not matter")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    load("fsdd", data_dir=tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_without_a_folder():
    with pytest.raises(UserError, match=r"holds FSDD/recordings/0_george_0.wav \(a folder or .tar, .tar.gz, .tar.xz\)"):
        load("fsdd")


def test_a_missing_folder_names_what_was_looked_for_and_the_way_out(tmp_path):
    with pytest.raises(UserError, match=r"no such folder.*recordings.tar.xz.*github.com/Jakobovski.*holds FSDD/"):
        load("fsdd", data_dir=tmp_path)


WHOLE = wav(np.arange(300))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE[:-100], r"7_bo_11.wav holds 250 samples and promises 300: it is cut short; fetch it again"),
        (WHOLE[:20], r"7_bo_11.wav is cut short or no WAV file \(it ends early\); fetch it again"),
        (b"", r"7_bo_11.wav is cut short or no WAV file"),
        (b"RIFX" + WHOLE[4:], r"7_bo_11.wav is cut short or no WAV file \(file does not start with RIFF id\)"),
        (wav(np.arange(0)), r"7_bo_11.wav holds 0 samples"),
        (wav(np.arange(300), rate=16000), r"7_bo_11.wav has 16000 Hz, 1 channels, 16 bits; FSDD has 8000 Hz"),
        (wav(np.arange(300), channels=2), r"8000 Hz, 2 channels, 16 bits"),
        (wav(np.arange(100), width=1), r"8000 Hz, 1 channels, 8 bits"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".tar"])
def test_a_damaged_recording_is_named(tmp_path, ending, content, message):
    write(tmp_path, ending, **{"7_bo_11": content})
    with pytest.raises(UserError, match=message):
        load("fsdd", data_dir=tmp_path)


def test_every_cut_of_a_recording_is_found():
    for end in range(len(WHOLE)):
        with pytest.raises(UserError, match="cut short"):
            read_wav(WHOLE[:end], "a.wav")


def test_a_damaged_archive_is_named(tmp_path):
    path = write(tmp_path, ".tar.xz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"recordings.tar.xz is cut short or corrupt"):
        load("fsdd", data_dir=tmp_path)


def test_other_names_are_refused(tmp_path):
    (write(tmp_path) / "noise.wav").write_bytes(WHOLE)
    with pytest.raises(UserError, match=r"'noise.wav' in .* is no recording of FSDD: their names are DIGIT_SPEAKER"):
        load("fsdd", data_dir=tmp_path)


def test_a_part_without_recordings_is_refused(tmp_path):
    folder = write(tmp_path)
    for path in [*folder.glob("*_0.wav"), *folder.glob("*_4.wav")]:
        path.unlink()
    with pytest.raises(UserError, match="8 training and 0 test recordings"):
        load("fsdd", data_dir=tmp_path)


def test_the_real_recordings():
    folder = os.environ.get("OHMWEAVE_DATA_DIR")
    if not folder:
        pytest.skip("set OHMWEAVE_DATA_DIR to a folder with the real FSDD to run this")
    data = load("fsdd", data_dir=folder)
    x, y = data.train
    assert y.bincount().tolist() == [270] * 10  # six speakers, 45 times each
    assert data.test[1].bincount().tolist() == [30] * 10
    assert float(x.amax((1, 2, 3)).min()) == 1
    assert data.mean[0] == pytest.approx(x.double().mean().item(), abs=6e-5)
    assert data.std[0] == pytest.approx(x.double().std(correction=0).item(), abs=6e-5)
