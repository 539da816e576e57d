"""How a person of the cast moves beside speaking: head, blinks, gaze, brows. Every process is drawn from a seeded generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from castfield.cast.voice import Phoneme

FPS = 25


@dataclass(frozen=True)
class Temper:
    """How lively somebody is."""

    turn: tuple[float, float, float] = (6.0, 3.0, 2.5)
    """Standard deviation of yaw, pitch and roll of the head, degrees."""
    rest: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where the head rests: yaw (to the person's left), pitch (down) and roll, degrees."""
    nod: float = 2.5
    """Depth of a nod on a stressed syllable, degrees."""
    blinks: float = 0.4
    """Blinks a second."""
    brows: float = 0.3
    """How far the brows go up with stress, as an activation."""
    smile: float = 0.15
    """Mean activation of the smile."""
    effort: float = 1.0
    """How far the mouth moves in speech."""


@dataclass(frozen=True)
class HeadMotion:
    """Angles in radians (T, 3): yaw to the person's left, pitch down, roll towards the right shoulder; shift in metres (T, 3)."""

    angles: np.ndarray
    shift: np.ndarray


def smooth_noise(frames: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """(T,) Gaussian process of unit variance whose values `seconds` apart are hardly related (Gaussian kernel)."""
    sigma = seconds * FPS / 2
    half = int(4 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    # The noise is drawn a block at a time from the start, so that a longer film begins like a shorter one.
    return np.convolve(rng.standard_normal(frames + 2 * half), kernel, mode="valid")[:frames]


def head_motion(temper: Temper, phonemes: Sequence[Phoneme], frames: int, rng: np.random.Generator) -> HeadMotion:
    """A wandering head that nods on some stressed syllables; turns stay under about 18 degrees."""
    streams = rng.spawn(8)
    angles = np.empty((frames, 3))
    for axis in range(3):
        slow, fast = smooth_noise(frames, 2.2, streams[axis]), smooth_noise(frames, 0.7, streams[axis + 3])
        wander = 0.9 * slow + 0.3 * fast
        angles[:, axis] = temper.rest[axis] + temper.turn[axis] * 2.2 * np.tanh(wander / 2.2)
    times = np.arange(frames) / FPS
    for start in _stresses(phonemes, 0.4, streams[6]):
        angles[:, 1] += temper.nod * _bump(times, start, 0.22)
    shift = np.stack([smooth_noise(frames, 2.5, s) for s in streams[7].spawn(3)], -1) * (0.006, 0.003, 0.007)
    return HeadMotion(np.radians(np.clip(angles, -18, 18)), shift)


def blinks(per_second: float, frames: int, rng: np.random.Generator) -> np.ndarray:
    """(T,) closing of the lids in [0, 1]: natural intervals (log-normal), fast closing, slower opening."""
    times = np.arange(frames) / FPS
    closing = np.zeros(frames)
    at = rng.uniform(0.5, 0.6 / max(per_second, 1e-3) + 0.5)
    while at < frames / FPS:
        at = round(at * FPS) / FPS  # the lids meet on a frame
        since = times - at
        shape = np.where(since < 0, 1 + since / 0.11, 1 - np.maximum(since - 0.04, 0) / 0.17)
        closing = np.maximum(closing, np.clip(shape, 0, 1))
        at += max(0.7, float(rng.lognormal(np.log(1 / per_second) - 0.18, 0.6)))
    return closing * closing * (3 - 2 * closing)


def gaze(head: HeadMotion, frames: int, rng: np.random.Generator) -> np.ndarray:
    """(T, 2) direction of the eyes in the head, radians: yaw to the person's left and pitch down.

    Between saccades the eyes hold a point, mostly the camera, against the moving head.
    """
    target = np.zeros((frames, 2))
    at, point = 0, np.zeros(2)
    while at < frames:
        target[at:] = point
        at += max(6, int(rng.exponential(1.1) * FPS) + 6)
        point = rng.normal(0, (6.0, 3.0)) if rng.random() < 0.55 else rng.normal(0, (0.8, 0.5))
    moved = np.radians(target) - head.angles[:, :2]
    # A saccade lasts about 50 ms: one frame lies halfway.
    moved[1:] = 0.5 * (np.radians(target[:-1]) - head.angles[1:, :2]) + 0.5 * moved[1:]
    return np.clip(moved, -0.42, 0.42)


def brow_lift(temper: Temper, phonemes: Sequence[Phoneme], frames: int, rng: np.random.Generator) -> np.ndarray:
    """(T,) lift of the brows in [0, 1], on a few stressed syllables and with a slow mood."""
    first, second = rng.spawn(2)
    times = np.arange(frames) / FPS
    lift = 0.25 * np.maximum(smooth_noise(frames, 1.5, first), 0)
    for start in _stresses(phonemes, 0.25, second):
        lift = np.maximum(lift, _bump(times, start, 0.3))
    return np.clip(temper.brows * lift, 0, 1)


def smiling(temper: Temper, phonemes: Sequence[Phoneme], frames: int, rng: np.random.Generator) -> np.ndarray:
    """(T,) smile in [0, 1]: a mood that wanders, more in pauses."""
    mood = temper.smile * (1 + 0.5 * smooth_noise(frames, 2.0, rng))
    times = np.arange(frames) / FPS
    for phoneme in phonemes:
        if phoneme.name.startswith("_") and phoneme.end - phoneme.start > 0.15:
            mood = mood + 0.6 * temper.smile * _bump(times, (phoneme.start + phoneme.end) / 2, 0.35)
    return np.clip(mood, 0, 0.7)


def _stresses(phonemes: Sequence[Phoneme], share: float, rng: np.random.Generator) -> list[float]:
    """Starts of a random share of the stressed syllables, in seconds."""
    return [p.start for p in phonemes if p.name.startswith("'") and rng.random() < share]


def _bump(times: np.ndarray, centre: float, half: float) -> np.ndarray:
    """A smooth bump of height 1 and half width `half` seconds."""
    inside = np.clip(np.abs(times - centre) / half, 0, 1)
    return np.cos(0.5 * np.pi * inside) ** 2
