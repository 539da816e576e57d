"""Speech for the cast: espeak-ng (its library and voices come from a wheel) through ctypes, with the time of each phoneme."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import numpy as np

SYNTH_RATE = 22_050
"""Samples a second that espeak-ng produces."""

_SYNCHRONOUS, _DO_NOT_EXIT, _PHONEME_EVENTS, _UTF8 = 2, 0x8000, 0x0001, 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4


@dataclass(frozen=True)
class Voice:
    """Which of the synthesizer's voices, and how it speaks."""

    name: str = "en-us"
    """A voice of espeak-ng, with an optional variant: `en-gb+f3`."""
    rate: int = 150
    """Words a minute."""
    pitch: int = 50
    """Base pitch, 0 to 99."""
    liveliness: int = 50
    """Range of the pitch, 0 to 99."""


@dataclass(frozen=True)
class Phoneme:
    """One sound: its name in the synthesizer's alphabet (empty or `_` for a pause) and when it is heard, in seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Utterance:
    """What a voice says."""

    samples: np.ndarray
    """(N,) float32 in [-1, 1] at SYNTH_RATE."""
    phonemes: tuple[Phoneme, ...]
    """In order of time, without gaps."""

    @property
    def seconds(self) -> float:
        return len(self.samples) / SYNTH_RATE


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@cache
def _library() -> ctypes.CDLL:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    path = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, path, _DO_NOT_EXIT | _PHONEME_EVENTS)
    if rate != SYNTH_RATE:
        raise RuntimeError(f"espeak-ng did not start: expected {SYNTH_RATE} samples a second, found {rate}")
    return library


def speak(text: str, voice: Voice) -> Utterance:
    """Synthesize `text`. The same text and voice give the same samples."""
    library = _library()
    pieces: list[np.ndarray] = []
    marks: list[tuple[str, float]] = []

    def receive(samples, count: int, events) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        at = 0
        while events[at].type != _EVENT_END:
            if events[at].type == _EVENT_PHONEME:
                marks.append((events[at].id.string.decode(errors="replace"), events[at].audio_position / 1000))
            at += 1
        return 0

    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.name.encode()):
        raise ValueError(f"espeak-ng has no voice '{voice.name}'")
    for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.liveliness)):
        library.espeak_SetParameter(parameter, value, 0)
    data = text.encode() + b"\0"
    library.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    seconds = len(samples) / SYNTH_RATE
    ends = [start for _, start in marks[1:]] + [seconds]
    phonemes = tuple(Phoneme(name, start, max(start, end)) for (name, start), end in zip(marks, ends, strict=True))
    return Utterance(samples.astype(np.float32) / 32768, phonemes)
