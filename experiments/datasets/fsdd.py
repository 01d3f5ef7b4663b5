"""The Free Spoken Digit Dataset: short WAV recordings, `{digit}_{speaker}_{index}.wav`, 8 kHz, mono, 16 bits.

Recordings 0 to 4 of every digit and speaker are its test set, the others its training set. Source: Z. Jackson et al.,
https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
import wave
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.datasets.spectrogram import Spectrogram
from experiments.progress import SILENT, Progress
from hwmodels.errors import UserError

FEATURES = Spectrogram(
    rate_hz=8000, window=256, hop=128, bands=40, frames=64, low_hz=0.0, high_hz=4000.0, floor_db=80.0
)
"""Frames of 32 ms, half overlapping; 1.04 s, longer than 99.5 % of the recordings."""

_FOLDER = "FSDD"
_RECORDINGS = "recordings"
_PACKED = tuple(_RECORDINGS + ending for ending in (".tar", ".tar.gz", ".tar.xz"))
_ORIGIN = "https://github.com/Jakobovski/free-spoken-digit-dataset"
_NAME = re.compile(r"(\d)_([^_/]+)_(\d+)\.wav")
_TEST_RECORDINGS = 5


def read_fsdd(data_dir: Path, progress: Progress = SILENT) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """FSDD from `data_dir/FSDD/recordings`, a folder or `.tar`, `.tar.gz`, `.tar.xz`, the first that is there.

    Returns log-mel spectrograms float32 (n, bands, frames) in 0 … 1 (`FEATURES`) and labels int64 (n,) for training,
    and the same for testing, in the order of digit, speaker and index.
    Raises UserError for a missing folder, a damaged archive, a file that is no such recording, and a part without one.
    """
    place = _located(data_dir)
    found: dict[tuple[int, str, int], np.ndarray] = {}
    for name, raw in progress.track(list(_files(place)), "Reading FSDD"):
        match = _NAME.fullmatch(name)
        if match is None:
            raise UserError(f"{name!r} in {place} is no recording of FSDD: their names are DIGIT_SPEAKER_INDEX.wav.")
        digit, speaker, index = match.groups()
        found[int(digit), speaker, int(index)] = FEATURES.log_mel(read_wav(raw, f"{place}: {name}"))
    tests = [key for key in sorted(found) if key[2] < _TEST_RECORDINGS]
    trains = [key for key in sorted(found) if key[2] >= _TEST_RECORDINGS]
    if not (tests and trains):
        raise UserError(
            f"{place} holds {len(trains)} training and {len(tests)} test recordings (index below {_TEST_RECORDINGS}); "
            f"both are needed. Get the whole set from {_ORIGIN}."
        )
    parts = [(np.stack([found[key] for key in keys]), np.array([key[0] for key in keys])) for keys in (trains, tests)]
    return *parts[0], *parts[1]


def read_wav(raw: bytes, where: str) -> np.ndarray:
    """The samples of a WAV file (n,), float64 in −1 … 1.

    Raises UserError, beginning with `where`, unless it is whole, mono, of 16-bit samples at the rate of `FEATURES`.
    """
    try:
        with wave.open(io.BytesIO(raw)) as sound:
            kind = (sound.getframerate(), sound.getnchannels(), 8 * sound.getsampwidth())
            promised, content = sound.getnframes(), sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise UserError(
            f"{where} is cut short or no WAV file ({str(error) or 'it ends early'}); fetch it again."
        ) from error
    if kind != (FEATURES.rate_hz, 1, 16):
        raise UserError(
            f"{where} has {kind[0]} Hz, {kind[1]} channels, {kind[2]} bits; FSDD has {FEATURES.rate_hz} Hz, 1 channel, "
            "16 bits: convert it first."
        )
    if len(content) != 2 * promised or not promised:
        raise UserError(
            f"{where} holds {len(content) // 2} samples and promises {promised}: it is cut short; fetch it again."
        )
    return np.frombuffer(content, dtype="<i2") / 32768


def _located(data_dir: Path) -> Path:
    folder = data_dir / _FOLDER
    if (folder / _RECORDINGS).is_dir():
        return folder / _RECORDINGS
    for name in _PACKED:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"FSDD is not in {folder}{'' if folder.is_dir() else ' (no such folder)'}: there is neither a folder "
        f"{_RECORDINGS}/ nor {', '.join(_PACKED)}. Get the recordings from {_ORIGIN} and point --data-dir (data.dir in "
        f"the configuration) at the folder that holds {_FOLDER}/."
    )


def _files(place: Path) -> Iterator[tuple[str, bytes]]:
    """Name (without folders) and content of every file that ends in .wav."""
    if place.is_dir():
        for path in sorted(place.glob("*.wav")):
            try:
                yield path.name, path.read_bytes()
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
        return
    try:
        with tarfile.open(place) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name.endswith(".wav") else None
                if content is not None:
                    yield Path(member.name).name, content.read()
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise UserError(f"{place} is cut short or corrupt ({error}); fetch it again.") from error
    except OSError as error:
        raise UserError(f"{place} cannot be read: {error.strerror or error}.") from error
