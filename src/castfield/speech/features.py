"""What is heard during each video frame: MFCC, mel bands and loudness of the 16 kHz speech.

Windows of 25 ms every 10 ms, so 100 windows a second and four to a video frame: window j is centred on 10 (j + 0.5) ms,
and frame k owns windows 4k to 4k + 3. (SyncNet's own recipe differs in detail and lives with the metric.)
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from castfield.clip import Crop, clip_names
from castfield.config import AudioConfig, Config
from castfield.layout import Layout
from castfield.media import FPS, SAMPLE_RATE, read_wav
from castfield.scratch import write_npz
from castfield.shards import Job, map_clips

HOP, WINDOW, FFT = 160, 400, 512
CEPSTRA, BANDS = 13, 80
PER_FRAME = SAMPLE_RATE // HOP // FPS
FLOOR = 1e-10  # power below which all is silence: -100 dB


@dataclass(frozen=True)
class Speech:
    """`data/audio/<clip>.npz`: the sound of T video frames. All zeros for a clip without sound."""

    mfcc: np.ndarray
    """(T, 4, 13) float32 mel-frequency cepstra of the frame's four windows; the first is the loudness."""
    mel: np.ndarray
    """(T, 4, 80) float32 log10 power of the mel bands."""
    energy: np.ndarray
    """(T,) float32 root mean square of the frame's 640 samples, in [0, 1]."""
    features: np.ndarray
    """(T, D) float32 what `audio.features` chose, per frame, each column with zero mean and unit deviation over the clip."""
    silent: bool
    """The clip has no sound."""

    def save(self, path: Path) -> None:
        """Write it, atomically."""
        write_npz(path, **{k: np.asarray(v) for k, v in self.__dict__.items()})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path) as z:
            values: dict[str, Any] = {k: z[k] for k in z.files}
        return cls(**{**values, "silent": bool(values["silent"])})


def run(config: Config, layout: Layout) -> None:
    """Write the features of every clip of `data/frames` into `data/audio`."""
    jobs = []
    for clip in clip_names(layout.frames, ".json"):
        inputs = {"crop": layout.frames / f"{clip}.json"}
        if Crop.load(inputs["crop"]).has_speech:
            inputs["speech"] = layout.speech / f"{clip}.wav"
        jobs.append(Job(clip, inputs, config.audio))
    # A clip takes milliseconds and importing librosa seconds: one process pays for it once.
    work = replace(config.work, runner="inline") if config.work.runner == "processes" else config.work
    map_clips("audio", hear_clip, jobs, layout.audio, work, [sys.modules[__name__]])


def hear_clip(job: Job, folder: Path) -> None:
    """Work of the stage: `<clip>.npz`."""
    config: AudioConfig = job.params
    wave = read_wav(job.inputs["speech"]) if "speech" in job.inputs else None
    hear(wave, Crop.load(job.inputs["crop"]).frames, config.features).save(folder / f"{job.clip}.npz")


def hear(wave: np.ndarray | None, frames: int, kind: str = "mfcc") -> Speech:
    """Features of a sound (N,) in [-1, 1] at 16 kHz beside `frames` video frames; `wave` is None for a silent clip.

    The sound is cut or padded with silence to 640 samples a frame.
    """
    if wave is None:
        zeros = {"mfcc": (frames, PER_FRAME, CEPSTRA), "mel": (frames, PER_FRAME, BANDS), "energy": (frames,)}
        columns = CEPSTRA if kind == "mfcc" else BANDS
        return Speech(
            **{name: np.zeros(shape, np.float32) for name, shape in zeros.items()},
            features=np.zeros((frames, columns), np.float32), silent=True,
        )  # fmt: skip
    needed = frames * SAMPLE_RATE // FPS
    sound = np.zeros(needed, np.float32)
    sound[: min(needed, len(wave))] = wave[:needed]
    power = spectrogram(sound)
    mel = np.log10(np.maximum(power, FLOOR)).reshape(frames, PER_FRAME, BANDS)
    cepstra = mfcc(power).reshape(frames, PER_FRAME, CEPSTRA)
    energy = np.sqrt((sound.reshape(frames, -1).astype(np.float64) ** 2).mean(1))
    chosen = (cepstra if kind == "mfcc" else mel).mean(1)
    features = (chosen - chosen.mean(0)) / np.maximum(chosen.std(0), 1e-6)
    return Speech(cepstra.astype(np.float32), mel.astype(np.float32), energy.astype(np.float32), features.astype(np.float32), False)


def spectrogram(sound: np.ndarray) -> np.ndarray:
    """Power in 80 mel bands (Slaney) of each window: (N,) samples, N a multiple of 160 -> (N / 160, 80)."""
    import librosa  # heavy: only this stage pays for it

    # Centre window j on sample 160 j + 80: with `center=False` a frame spans FFT samples, the window lying in its middle.
    padded = np.pad(sound.astype(np.float64), (FFT // 2 - HOP // 2, FFT // 2 - HOP // 2))
    options: dict[str, Any] = {"n_fft": FFT, "hop_length": HOP, "win_length": WINDOW, "center": False, "n_mels": BANDS}
    return librosa.feature.melspectrogram(y=padded, sr=SAMPLE_RATE, **options).T[: len(sound) // HOP]


def mfcc(power: np.ndarray) -> np.ndarray:
    """(M, 80) mel power -> (M, 13) cepstra: decibels above -100 dB, orthonormal DCT-II."""
    import librosa

    return librosa.feature.mfcc(S=10 * np.log10(np.maximum(power, FLOOR)).T, n_mfcc=CEPSTRA).T
