"""Speech for the cast: espeak-ng (its library and voices come from a wheel) through ctypes, with the time of each phoneme.

The library keeps state from one sentence to the next, so the same sentence sounds a little different the second time.
`speak` therefore runs this very file in a child process per utterance: same text and voice, same samples.
"""

from __future__ import annotations

import ctypes
import io
import json
import subprocess
import sys
from dataclasses import asdict, dataclass

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


def speak(text: str, voice: Voice) -> Utterance:
    """Synthesize `text` (about 0.2 s). The same text and voice give the same samples. Raises ValueError if the voice is unknown."""
    request = json.dumps({"text": text, "voice": asdict(voice)}).encode()
    done = subprocess.run([sys.executable, "-I", __file__], input=request, capture_output=True)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise ValueError(f"espeak-ng could not speak as '{voice.name}': {last[0]}")
    with np.load(io.BytesIO(done.stdout)) as z:
        samples, names, times = z["samples"], z["names"], z["times"]
    ends = [*times[1:], len(samples) / SYNTH_RATE]
    phonemes = tuple(Phoneme(str(n), float(s), float(max(s, e))) for n, s, e in zip(names, times, ends, strict=True))
    return Utterance(samples.astype(np.float32) / 32768, phonemes)


def _synthesize(text: str, name: str, rate: int, pitch: int, liveliness: int) -> dict[str, np.ndarray]:
    """Run the library once: samples (N,) int16, phoneme names (P,) and the second at which each starts (P,)."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    path = espeakng_loader.get_data_path().encode()
    found = library.espeak_Initialize(_SYNCHRONOUS, 0, path, _DO_NOT_EXIT | _PHONEME_EVENTS)
    if found != SYNTH_RATE:
        raise RuntimeError(f"the library gives {found} samples a second, not {SYNTH_RATE}")
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # breath is noise, and its seed would be the time of day
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
    if library.espeak_SetVoiceByName(name.encode()):
        raise ValueError("no such voice")
    for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, liveliness)):
        library.espeak_SetParameter(parameter, value, 0)
    data = text.encode() + b"\0"
    library.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return {"samples": samples, "names": np.array([n for n, _ in marks], "U8"), "times": np.array([t for _, t in marks])}


if __name__ == "__main__":
    _request = json.loads(sys.stdin.buffer.read())
    _answer = io.BytesIO()
    np.savez(_answer, **_synthesize(_request["text"], **_request["voice"]))
    sys.stdout.buffer.write(_answer.getvalue())
