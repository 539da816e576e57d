"""Speech features: their place in time, their formula, and silence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dct
from scipy.signal import get_window

from castfield.clip import Crop
from castfield.config import Config, WorkConfig
from castfield.footage import write_wav
from castfield.layout import Layout
from castfield.speech.features import BANDS, FLOOR, Speech, hear, mfcc, run, spectrogram

RANDOM = np.random.default_rng(0)


def test_the_spectrogram_by_hand():
    """Windows of 400 samples centred on 160 j + 80, Hann, 512-point power, Slaney's mel bands."""
    import librosa

    sound = RANDOM.normal(0, 0.1, 3200)
    window = np.pad(get_window("hann", 400), 56)
    padded = np.pad(sound, 176)
    frames = np.stack([padded[160 * j : 160 * j + 512] for j in range(20)]) * window
    power = np.abs(np.fft.rfft(frames)) ** 2
    expected = power @ librosa.filters.mel(sr=16_000, n_fft=512, n_mels=BANDS, dtype=np.float64).T
    assert spectrogram(sound) == pytest.approx(expected, rel=1e-4)


def test_cepstra_by_hand():
    power = RANDOM.random((7, BANDS)) * 10
    assert mfcc(power) == pytest.approx(dct(10 * np.log10(power), norm="ortho")[:, :13], rel=1e-6)


def test_each_frame_hears_its_own_sound():
    """A click in the middle of frame 7 is heard there and, by the windows' width, at most in its neighbours."""
    sound = np.zeros(20 * 640, np.float32)
    sound[7 * 640 + 320] = 0.9
    heard = hear(sound, 20)
    assert np.flatnonzero(heard.energy).tolist() == [7]
    assert np.argmax(heard.mel.mean((1, 2))) == 7
    assert (heard.mel[:7] == np.log10(FLOOR)).all()
    assert (heard.mel[8:] == np.log10(FLOOR)).all()
    assert heard.mel[7, 1:3].mean() > heard.mel[7, [0, 3]].mean()
    assert heard.mel[7, 1] == pytest.approx(heard.mel[7, 2], abs=0.2)  # the click lies between the two middle windows


@pytest.mark.parametrize("length", [20 * 640 - 300, 20 * 640 + 5000])
def test_sound_of_another_length_is_cut_or_padded(length):
    sound = RANDOM.normal(0, 0.1, length).astype(np.float32)
    heard = hear(sound, 20)
    assert heard.mfcc.shape == (20, 4, 13)
    assert heard.mel.shape == (20, 4, 80)
    assert not heard.silent
    assert heard.energy[:18] == pytest.approx(np.sqrt((sound[: 18 * 640].reshape(18, 640) ** 2).mean(1)), rel=1e-5)
    assert np.isfinite(heard.features).all()


def test_features_are_centred_and_scaled():
    heard = hear(RANDOM.normal(0, 0.1, 50 * 640).astype(np.float32), 50, "mel")
    assert heard.features.shape == (50, 80)
    assert heard.features.mean(0) == pytest.approx(np.zeros(80), abs=1e-4)
    assert heard.features.std(0) == pytest.approx(np.ones(80), abs=1e-3)


def test_the_stage_and_a_silent_clip(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    layout = Layout(tmp_path)
    for clip, speech in (("ann", True), ("mute", False)):
        Crop((0.0, 0.0, 64.0), 64, (64, 64), 25.0, 30, 0.0, speech).save(layout.frames / f"{clip}.json")
    wave = (RANDOM.normal(0, 3000, 30 * 640)).astype(np.int16)
    write_wav(layout.speech / "ann.wav", wave)
    run(Config(work=WorkConfig(runner="inline")), layout)
    ann, mute = (Speech.load(layout.audio / f"{clip}.npz") for clip in ("ann", "mute"))
    assert not ann.silent
    assert ann.features.shape == (30, 13)
    assert mute.silent
    assert mute.features.shape == (30, 13)
    for array in (mute.mfcc, mute.mel, mute.energy, mute.features):
        assert not array.any()
    assert ann.mfcc.shape == mute.mfcc.shape
    assert np.array_equal(ann.mfcc, hear(wave.astype(np.float32) / 32768, 30).mfcc)
