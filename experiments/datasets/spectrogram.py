"""Log-mel spectrograms: short-time power, collected into bands of equal width on the mel scale.

Frame t of a sound s is X_t[k] = Σₙ w[n] s[t·hop + n] exp(−2πi·kn/N), w the periodic Hann window of N samples. A band
collects Σ_k B[m, k]·|X_t[k]|², B triangles whose corners stand at equal distances on the mel scale of O'Shaughnessy,
m = 2595·log₁₀(1 + f / 700 Hz) (Speech Communication: Human and Machine, 1987; HTK's). Bands are in decibels below the
loudest one of the sound, so that how loud it was recorded does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Spectrogram:
    """What a log-mel spectrogram is made with.

    rate_hz: samples per second [Hz]. window: samples of a frame; hop: samples between the starts of two. bands: on the
    mel scale from low_hz to high_hz [Hz]; triangle m rises from corner m to m + 1 and falls to m + 2, peak 1. frames:
    of every spectrogram: sounds are cut at the end or followed by silence. floor_db: what lies so far below the loudest
    band, and silence, is 0; the loudest band is 1.
    """

    rate_hz: int
    window: int
    hop: int
    bands: int
    frames: int
    low_hz: float
    high_hz: float
    floor_db: float

    @property
    def samples(self) -> int:
        """Samples that the frames reach over."""
        return (self.frames - 1) * self.hop + self.window

    def corners_hz(self) -> np.ndarray:
        """Corners of the triangles [Hz], (bands + 2,), ascending; band m is centred on corner m + 1."""
        return hertz(np.linspace(mel(self.low_hz), mel(self.high_hz), self.bands + 2))

    @cached_property
    def filters(self) -> np.ndarray:
        """Weights of the bands, (bands, window // 2 + 1), in 0 … 1."""
        corners, bins = self.corners_hz(), np.fft.rfftfreq(self.window, 1 / self.rate_hz)
        low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
        return np.clip(np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0, None)

    def power(self, sound: np.ndarray) -> np.ndarray:
        """Power |X_t[k]|², (frames, window // 2 + 1), of a sound (samples,) of any length."""
        padded = np.zeros(self.samples)
        padded[: min(len(sound), self.samples)] = sound[: self.samples]
        cut = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        return np.abs(np.fft.rfft(cut * hann, axis=1)) ** 2

    def log_mel(self, sound: np.ndarray) -> np.ndarray:
        """The spectrogram of a sound (samples,): float32 (bands, frames) in 0 … 1, 1 its loudest band."""
        collected = self.power(sound) @ self.filters.T
        loudest = collected.max()
        if not loudest > 0:
            return np.zeros((self.bands, self.frames), dtype=np.float32)
        decibel = 10 * np.log10(np.maximum(collected / loudest, 10 ** (-self.floor_db / 10)))
        return (1 + decibel / self.floor_db).T.astype(np.float32)


def mel(hertz_: float) -> float:
    """Place of a frequency [Hz] on the mel scale."""
    return float(2595 * np.log10(1 + hertz_ / 700))


def hertz(mels: np.ndarray) -> np.ndarray:
    """Frequencies [Hz] of places on the mel scale."""
    return 700 * (10 ** (mels / 2595) - 1)
