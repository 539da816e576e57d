"""The criteria, in the order in which they are told. Adding one is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable

from castfield.check import judging_face as face
from castfield.check import judging_file as film
from castfield.check import judging_sound as sound
from castfield.check.evidence import Evidence
from castfield.check.finding import Finding

CRITERIA: tuple[tuple[str, Callable[[Evidence], Finding | None]], ...] = (
    ("stages", film.refused),
    ("movement", film.movement),
    ("upright", face.upright),
    ("people", face.people),
    ("head's pixels", face.face_size),
    ("face seen", face.face_share),
    ("framing", face.framing),
    ("pose", face.pose),
    ("covered", face.occlusion),
    ("expression", face.expression),
    ("sharpness", face.sharpness),
    ("exposure", face.exposure),
    ("light", face.lighting),
    ("cuts", film.shots),
    ("frozen", film.frozen),
    ("length", film.length),
    ("frame rate", film.frame_rate),
    ("even rate", film.steady_rate),
    ("bit rate", film.bits),
    ("decoding", film.decoding),
    ("sound", sound.sound),
    ("speech level", sound.speech_level),
    ("overdriven", sound.clipping),
    ("noise", sound.noise),
)
"""Title and function. A function returns None where it cannot tell, for instance of the face in a film without one."""


def judge(evidence: Evidence) -> list[tuple[str, Finding]]:
    """Title and finding of every criterion that can tell."""
    told = [(title, criterion(evidence)) for title, criterion in CRITERIA]
    return [(title, finding) for title, finding in told if finding is not None]
