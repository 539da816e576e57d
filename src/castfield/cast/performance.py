"""A take: what a person says and does, frame by frame, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle

import numpy as np

from castfield.cast import motion, mouth
from castfield.cast.people import Person
from castfield.cast.voice import SYNTH_RATE, Phoneme, speak

FPS = 25
SILENCE = 0.20, 0.30
"""Seconds before the first sentence and between two."""
EYE_TRAVEL = {"In": 20.0, "Out": 20.0, "Up": 10.0, "Down": 6.5}
"""Degrees that the rig's eyes turn at full activation."""


@dataclass(frozen=True)
class Take:
    """A person's part."""

    expression: dict[str, np.ndarray]
    """ARKit activations (T,) by name; those that never move are absent."""
    head: motion.HeadMotion
    sound: np.ndarray
    """(N,) float32 at SYNTH_RATE."""
    phonemes: tuple[Phoneme, ...]
    """With times in the take, seconds."""
    words: str
    """What is said, whole sentences; the end may be cut off."""

    @property
    def frames(self) -> int:
        return len(self.head.angles)


def perform(person: Person, seconds: float) -> Take:
    """Speak and act for `seconds`. Frame t shows the moment (t + 0.5) / FPS. A longer take begins like a shorter one."""
    frames = max(1, round(seconds * FPS))
    seconds = frames / FPS
    sound, phonemes, words = _speech(person, seconds)
    rng = np.random.default_rng(person.seed + 4000)
    for_head, for_blinks, for_gaze, for_brows, for_smile = rng.spawn(5)
    temper, times = person.temper, (np.arange(frames) + 0.5) / FPS
    head = motion.head_motion(temper, phonemes, frames, for_head)
    values = mouth.activations(phonemes, times, temper.effort)

    smile = motion.smiling(temper, phonemes, frames, for_smile)
    brows = motion.brow_lift(temper, phonemes, frames, for_brows)
    blink = motion.blinks(temper.blinks, frames, for_blinks)
    values["browInnerUp"] = 0.7 * brows
    smile = smile * (1 - 0.6 * values["mouthPucker"])
    for side in ("Left", "Right"):
        values[f"mouthSmile{side}"] = np.clip(values[f"mouthSmile{side}"] + smile * (1.06 if side == "Left" else 1), 0, 1)
        values[f"cheekSquint{side}"] = 0.5 * smile
        values[f"eyeSquint{side}"] = 0.35 * smile
        values[f"browOuterUp{side}"] = 0.8 * brows
        values[f"eyeBlink{side}"] = blink
    values |= _eyes(motion.gaze(head, frames, for_gaze))
    heard = tuple(Phoneme(p.name, p.start, min(p.end, seconds)) for p in phonemes if p.start < seconds)
    return Take(values, head, sound, heard, words)


def _eyes(gaze: np.ndarray) -> dict[str, np.ndarray]:
    """Activations of the eyes for directions (T, 2): yaw to the left and pitch down, radians."""
    yaw, pitch = np.degrees(gaze).T
    travel = {"Out": yaw, "In": -yaw, "Down": pitch, "Up": -pitch}
    values = {}
    for way, angle in travel.items():
        for side in ("Left", "Right"):
            turned = angle if side == "Left" or way in ("Up", "Down") else -angle
            values[f"eyeLook{way}{side}"] = np.clip(turned / EYE_TRAVEL[way], 0, 1)
    return values


def _speech(person: Person, seconds: float) -> tuple[np.ndarray, tuple[Phoneme, ...], str]:
    """Sentences one after the other until `seconds` are full; the sound is cut there with a short fade, the phonemes are whole."""
    length = round(seconds * SYNTH_RATE)
    sound, phonemes, words = np.zeros(round(SILENCE[0] * SYNTH_RATE), np.float32), [Phoneme("_", 0.0, SILENCE[0])], []
    for line in cycle(person.lines):
        if len(sound) >= length:
            break
        said = speak(line, person.voice)
        start = len(sound) / SYNTH_RATE
        phonemes += [Phoneme(p.name, p.start + start, p.end + start) for p in said.phonemes]
        pause = np.zeros(round(SILENCE[1] * SYNTH_RATE), np.float32)
        sound = np.concatenate([sound, said.samples, pause])
        phonemes.append(Phoneme("_", start + said.seconds, len(sound) / SYNTH_RATE))
        words.append(line)
    sound = 0.8 * sound[:length] / max(1e-6, float(np.abs(sound).max()))
    fade = min(length, round(0.03 * SYNTH_RATE))
    sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return sound, tuple(phonemes), " ".join(words)
