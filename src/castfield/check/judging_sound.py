"""Criteria of the sound."""

from __future__ import annotations

import numpy as np

from castfield.check.evidence import Evidence
from castfield.check.finding import Finding, Level, fine
from castfield.media import SAMPLE_RATE

FULL = 0.99
CLIPPED = 1e-3
"""Share of the samples at full scale. Peaks of speech reach it once a second or so; flat tops last for many samples."""
QUIET = -45.0
"""Loudest twentieth of the sound in dB of full scale. Speech is recorded at -26 (ITU-T P.56); consonants are 30 dB softer than vowels
and here fall under the 16 bits that are kept."""
DISTANCE = 15.0
"""Decibels between the loudest twentieth and the softest tenth. Speech has pauses: 25 and more in a quiet room."""


def sound(e: Evidence) -> Finding | None:
    """Whether there is any."""
    if e.opened is None or not e.frames:
        return None
    if e.wave is not None:
        return fine("sound", "There is sound.")
    kind = "The sound track is silent" if e.opened.header.has_sound else "There is no sound track"
    return Finding("sound", Level.REMARK, f"{kind}: speech features and speech metrics are left out.", "use the file with its sound")


def speech_level(e: Evidence) -> Finding | None:
    """Whether it is loud enough."""
    if e.wave is None:
        return None
    loud = float(np.quantile(levels(e.wave), 0.95))
    if loud < QUIET:
        return Finding("speech_level", Level.REMARK, f"The sound is very soft ({loud:.0f} dB of full scale).", "record closer to the mouth")
    return fine("speech_level", f"Speech is at {loud:.0f} dB of full scale.")


def clipping(e: Evidence) -> Finding | None:
    """Whether it is overdriven."""
    if e.wave is None:
        return None
    share = full_scale(e.wave)
    if share > CLIPPED:
        return Finding("clipping", Level.REMARK, f"The sound is overdriven: {share:.1%} of it is at full scale.", "record with less gain")
    return fine("clipping", "The sound is not overdriven.")


def noise(e: Evidence) -> Finding | None:
    """Whether speech has pauses, or something sounds through them."""
    if e.wave is None or full_scale(e.wave) > CLIPPED:
        return None  # what is overdriven has lost its loud end
    low, high = np.quantile(levels(e.wave), [0.1, 0.95])
    if high - low < DISTANCE:
        text = f"Noise or music sounds through: the softest moments are only {high - low:.0f} dB below the loudest."
        return Finding("noise", Level.REMARK, text, "use a recording of the voice alone")
    return fine("noise", f"Pauses are {high - low:.0f} dB below speech.")


def full_scale(wave: np.ndarray) -> float:
    """Share of the samples (int16) at full scale."""
    return float((np.abs(wave.astype(np.int32)) >= FULL * 32768).mean())


def levels(wave: np.ndarray) -> np.ndarray:
    """Level of every 25 ms of a wave (int16 at 16 kHz), (K,) decibels of full scale."""
    step = SAMPLE_RATE // 40
    blocks = wave[: len(wave) // step * step].reshape(-1, step).astype(np.float64) / 32768
    return 10 * np.log10((blocks**2).mean(1) + 1e-12)
