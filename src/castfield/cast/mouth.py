"""Mouth shapes from phonemes, with coarticulation.

Each sound has a target per articulator and a dominance: how strongly it insists on that target against its neighbours, falling
off in time (Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual speech"). Vowels dominate the jaw, /w/ and
/S/ the rounding, while /k/ or /h/ let the lips of their neighbours through. Closures (p, b, m) are enforced on top: the lips
do meet. Values are activations of the ARKit blend shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from castfield.cast.voice import Phoneme

ARTICULATORS = ("jaw", "wide", "pucker", "funnel", "upper", "lower", "tuck", "tongue")
"""Jaw opening, lip spreading, two kinds of rounding, upper lip raised, lower lip lowered, lower lip under the teeth, tongue."""

LEAD = 0.02
"""Seconds by which the mouth is ahead of the sound."""


@dataclass(frozen=True)
class Viseme:
    """Targets in the order of ARTICULATORS, and dominance of the jaw and of the lips."""

    targets: tuple[float, ...]
    jaw: float
    lips: float
    closed: bool = False


_VISEMES = {
    #                jaw  wide puck funn uppr lowr tuck tong   dominance
    "rest": Viseme((0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00), 0.8, 0.5),
    "pbm": Viseme((0.04, 0.00, 0.05, 0.00, 0.00, 0.00, 0.10, 0.00), 3.0, 0.6, closed=True),
    "fv": Viseme((0.05, 0.10, 0.00, 0.00, 0.25, 0.00, 0.65, 0.00), 3.0, 1.8),
    "th": Viseme((0.16, 0.10, 0.00, 0.00, 0.12, 0.25, 0.00, 0.45), 1.2, 0.6),
    "td": Viseme((0.14, 0.10, 0.00, 0.00, 0.10, 0.22, 0.00, 0.10), 1.0, 0.3),
    "sz": Viseme((0.06, 0.35, 0.00, 0.00, 0.18, 0.35, 0.00, 0.00), 2.0, 0.8),
    "sh": Viseme((0.09, 0.00, 0.25, 0.60, 0.15, 0.25, 0.00, 0.00), 1.8, 1.8),
    "kg": Viseme((0.18, 0.05, 0.00, 0.00, 0.08, 0.15, 0.00, 0.00), 0.7, 0.2),
    "h": Viseme((0.22, 0.05, 0.00, 0.00, 0.05, 0.10, 0.00, 0.00), 0.3, 0.1),
    "r": Viseme((0.14, 0.00, 0.35, 0.30, 0.08, 0.15, 0.00, 0.00), 0.9, 1.0),
    "w": Viseme((0.08, 0.00, 0.80, 0.20, 0.00, 0.00, 0.00, 0.00), 1.8, 2.5),
    "AA": Viseme((0.62, 0.10, 0.00, 0.00, 0.15, 0.25, 0.00, 0.00), 1.6, 0.8),
    "AE": Viseme((0.50, 0.35, 0.00, 0.00, 0.22, 0.30, 0.00, 0.00), 1.5, 1.0),
    "EH": Viseme((0.36, 0.28, 0.00, 0.00, 0.18, 0.28, 0.00, 0.00), 1.3, 0.8),
    "IY": Viseme((0.17, 0.60, 0.00, 0.00, 0.15, 0.30, 0.00, 0.00), 1.2, 1.4),
    "IH": Viseme((0.22, 0.35, 0.00, 0.00, 0.14, 0.25, 0.00, 0.00), 1.0, 0.7),
    "AO": Viseme((0.46, 0.00, 0.25, 0.45, 0.05, 0.15, 0.00, 0.00), 1.5, 1.3),
    "OW": Viseme((0.40, 0.00, 0.42, 0.38, 0.00, 0.08, 0.00, 0.00), 1.3, 1.6),
    "UW": Viseme((0.20, 0.00, 0.72, 0.28, 0.00, 0.00, 0.00, 0.00), 1.2, 1.9),
    "AH": Viseme((0.26, 0.08, 0.00, 0.00, 0.10, 0.18, 0.00, 0.00), 0.8, 0.4),
    "ER": Viseme((0.22, 0.00, 0.25, 0.40, 0.10, 0.20, 0.00, 0.00), 1.1, 1.0),
}

_SOUNDS = {
    "p": "pbm", "b": "pbm", "m": "pbm", "f": "fv", "v": "fv", "T": "th", "D": "th", "t": "td", "d": "td", "n": "td", "l": "td",
    "s": "sz", "z": "sz", "S": "sh", "Z": "sh", "tS": "sh", "dZ": "sh", "k": "kg", "g": "kg", "N": "kg", "x": "kg", "j": "IY",
    "h": "h", "?": "h", "r": "r", "R": "r", "w": "w", "3": "ER", "3:": "ER", "@": "AH", "@2": "AH", "@5": "AH", "@L": "AH", "a#": "AH",
    "I#": "IH", "V": "AH", "VR": "ER", "A": "AA", "A:": "AA", "0": "AO", "a": "AE", "aa": "AE", "E": "EH", "i": "IY", "i:": "IY", "I": "IH",
    "I2": "IH", "O": "AO", "O:": "AO", "o": "OW", "o:": "OW", "U": "UW", "u": "UW", "u:": "UW", "e": "EH", "e:": "EH",
    "aI": "AA IY", "aI2": "AA IY", "aU": "AA UW", "OI": "AO IY", "eI": "EH IY", "oU": "OW UW", "i@": "IY AH", "i@3": "IY ER",
    "e@": "EH ER", "U@": "UW ER", "o@": "AO ER", "O@": "AO ER", "A@": "AA ER", "aI3": "AA ER", "aU@": "AA ER",
}  # fmt: skip

_FALLOFF = 0.055
"""Seconds in which a sound's dominance falls to 1/e beyond its own time."""


def visemes(phoneme: str) -> list[str]:
    """Names of the mouth shapes of one phoneme of the synthesizer: two for a diphthong, `rest` for a pause."""
    name = phoneme.lstrip("',%=|").rstrip("*")
    if not name or name.startswith("_"):
        return ["rest"]
    for candidate in (name, name.rstrip("#2345-["), name.rstrip(":"), name[:2], name[:1]):
        if candidate in _SOUNDS:
            return _SOUNDS[candidate].split()
    return ["AH"] if name[0] in "aeiouAEIOU@03" else ["td"]


def is_closed(phoneme: str) -> bool:
    """Whether the lips meet for this phoneme."""
    return _VISEMES[visemes(phoneme)[0]].closed


def articulate(phonemes: Sequence[Phoneme], times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Articulators (T, 8) and lip closure (T,) in [0, 1] at `times` (T,) seconds of the sound."""
    times = np.asarray(times, dtype=np.float64) + LEAD
    total = np.zeros((len(times), len(ARTICULATORS)))
    weights = np.full_like(total, 1e-4)
    closure = np.zeros(len(times))
    for phoneme in phonemes:
        parts = visemes(phoneme.name)
        edges = np.linspace(phoneme.start, phoneme.end, len(parts) + 1)
        stress = 1.15 if phoneme.name.startswith("'") else 0.9
        for part, start, end in zip(parts, edges[:-1], edges[1:], strict=True):
            shape = _VISEMES[part]
            centre, half = (start + end) / 2, max((end - start) / 2, 0.02)
            outside = np.maximum(np.abs(times - centre) - 0.5 * half, 0)
            near = np.exp(-outside / _FALLOFF)
            dominance = np.full(len(ARTICULATORS), shape.lips)
            dominance[0] = shape.jaw
            targets = np.array(shape.targets)
            targets[0] *= stress if len(parts) > 1 or part.isupper() else 1.0
            total += near[:, None] * dominance * targets
            weights += near[:, None] * dominance
            if shape.closed:
                beyond = np.maximum(np.abs(times - centre) - np.maximum(half - 0.01, 0.02), 0)
                closure = np.maximum(closure, np.exp(-((beyond / 0.028) ** 2)))
    return total / weights, closure


def activations(phonemes: Sequence[Phoneme], times: np.ndarray, effort: float = 1.0) -> dict[str, np.ndarray]:
    """ARKit activations by name, each (T,) in [0, 1], at `times` seconds. `effort` scales how far the mouth moves."""
    shape, closure = articulate(phonemes, times)
    opened = 1 - closure
    jaw, wide, pucker, funnel, upper, lower, tuck, tongue = shape.T * effort
    values = {
        "jawOpen": jaw * opened + 0.03 * closure,
        "mouthPucker": pucker * (1 - 0.4 * closure),
        "mouthFunnel": funnel * opened,
        "mouthRollLower": np.maximum(tuck, 0.18 * closure),
        "mouthRollUpper": 0.12 * closure,
        "tongueOut": 0.3 * tongue * opened,
    }
    pairs = {
        "mouthStretch": 0.5 * wide * (1 - 0.6 * closure),
        "mouthSmile": 0.3 * wide * (1 - 0.5 * closure),
        "mouthUpperUp": upper * opened,
        "mouthLowerDown": lower * opened * (1 - np.clip(tuck, 0, 1)),
        "mouthPress": 0.35 * closure,
    }
    values |= {name + side: value for name, value in pairs.items() for side in ("Left", "Right")}
    return {name: np.clip(value, 0, 1) for name, value in values.items()}
