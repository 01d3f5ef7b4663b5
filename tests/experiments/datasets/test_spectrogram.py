"""Spectrograms against scipy's, Parseval's theorem, and what a pure tone must look like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from experiments.datasets.fsdd import FEATURES
from experiments.datasets.spectrogram import Spectrogram, hertz, mel

SMALL = Spectrogram(rate_hz=1000, window=16, hop=8, bands=4, frames=5, low_hz=0.0, high_hz=500.0, floor_db=60.0)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count)


@pytest.mark.parametrize("spec", [SMALL, FEATURES])
def test_power_is_that_of_scipy(spec):
    sound = noise(spec.samples)
    transform = ShortTimeFFT(hann(spec.window, sym=False), hop=spec.hop, fs=spec.rate_hz, scale_to=None)
    # scipy centres its frames on multiples of the hop; ours begin there.
    first = spec.window // 2 // spec.hop
    theirs = np.abs(transform.stft(sound, p0=first, p1=first + spec.frames)) ** 2
    np.testing.assert_allclose(spec.power(sound), theirs.T, rtol=1e-9, atol=1e-12)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_power_of_a_frame_is_that_of_its_windowed_samples(seed):
    sound = noise(SMALL.samples, seed)
    weights = np.full(SMALL.window // 2 + 1, 2.0)  # the bins of negative frequencies, which a real sound mirrors
    weights[[0, -1]] = 1
    for frame, power in enumerate(SMALL.power(sound)):
        cut = sound[frame * SMALL.hop :][: SMALL.window] * hann(SMALL.window, sym=False)
        assert weights @ power / SMALL.window == pytest.approx(cut @ cut)


@pytest.mark.parametrize("band", [0, 3, 20, 39])
def test_a_pure_tone_is_loudest_in_its_own_band(band):
    centre = FEATURES.corners_hz()[band + 1]
    seconds = np.arange(FEATURES.samples) / FEATURES.rate_hz
    found = FEATURES.log_mel(np.sin(2 * np.pi * centre * seconds))
    # At the low end a band is as wide as two bins of the transform, and the tone lies between two bins.
    assert np.abs(found.argmax(axis=0) - band).max() <= (1 if band < 5 else 0)
    assert found.max() == 1


def test_bands_are_triangles_at_equal_distances_in_mel_that_add_up_to_one():
    corners = FEATURES.corners_hz()
    steps = np.diff([mel(f) for f in corners])
    np.testing.assert_allclose(steps, steps[0])
    assert mel(1000) == pytest.approx(1000, abs=0.1)  # the scale's own anchor: 1000 Hz is 1000 mel
    assert hertz(np.array([mel(440.0)]))[0] == pytest.approx(440)
    filters, bins = FEATURES.filters, np.fft.rfftfreq(FEATURES.window, 1 / FEATURES.rate_hz)
    inside = (bins >= corners[1]) & (bins <= corners[-2])
    np.testing.assert_allclose(filters.sum(axis=0)[inside], 1)
    assert (filters.max(axis=1) > 0).all()  # no band falls between two bins


def test_loudness_does_not_matter_and_silence_is_zero():
    sound = noise(2000)
    np.testing.assert_allclose(FEATURES.log_mel(sound), FEATURES.log_mel(sound / 1000), atol=1e-6)
    found = FEATURES.log_mel(sound)
    assert found.shape == (FEATURES.bands, FEATURES.frames)
    assert found.dtype == np.float32
    after = -(-2000 // FEATURES.hop)  # the first frame that begins behind the sound
    assert not found[:, after:].any()
    assert not FEATURES.log_mel(np.zeros(2000)).any()
    assert not FEATURES.log_mel(np.zeros(0)).any()


def test_decibels_are_below_the_loudest_band():
    seconds = np.arange(FEATURES.samples) / FEATURES.rate_hz
    low, high = FEATURES.corners_hz()[[11, 31]]
    loud = np.sin(2 * np.pi * low * seconds)
    found = FEATURES.log_mel(loud + 0.01 * np.sin(2 * np.pi * high * seconds))
    # A hundredth of the amplitude is 40 dB less; how a tone lies between bins moves that by a few decibels.
    assert FEATURES.floor_db * (1 - found[30, 5]) == pytest.approx(40, abs=6)


def test_what_is_longer_is_cut():
    sound = noise(3 * FEATURES.samples)
    np.testing.assert_array_equal(FEATURES.log_mel(sound), FEATURES.log_mel(sound[: FEATURES.samples]))
