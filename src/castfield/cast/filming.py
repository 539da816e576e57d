"""Film a person of the cast: an ordinary video with sound, and beside it the truth that no camera would know."""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from castfield.cast.body import Body, Pose, head_pose, identity_of
from castfield.cast.camera import Camera
from castfield.cast.people import Person, find
from castfield.cast.performance import FPS, Take, perform
from castfield.cast.room import backdrop
from castfield.cast.voice import SYNTH_RATE
from castfield.errors import ManifestError
from castfield.media import encode_mp4
from castfield.rigs import Rig, cast_folder, load_rig
from castfield.scratch import atomic, write_npz

SIZE = 416
"""Side of the film in pixels."""
FIELD = 0.50
"""Metres that the picture shows at the head's distance."""


@dataclass(frozen=True)
class Truth:
    """What a film shows, exactly. Units as in `castfield.clip.Track`: metres, radians, pixels of the film."""

    identity: np.ndarray
    """(I,) float32."""
    expression: np.ndarray
    """(T, d) float32."""
    rotation: np.ndarray
    """(T, 3, 3) float32 head -> camera."""
    translation: np.ndarray
    """(T, 3) float32."""
    focal: float
    size: int
    landmarks: np.ndarray
    """(T, 478, 2) float32: where the rig knows the tracker to see each, from the side that the head shows (`Rig.seen_from`)."""
    head_mask: np.ndarray
    """(T, size, size) bool: pixels that show mostly the head, with hair and neck. Packed to bits in the file."""
    torso_mask: np.ndarray
    """(T, size, size) bool."""
    phonemes: np.ndarray
    """(P,) names in the synthesizer's alphabet; `_` is a pause."""
    phoneme_times: np.ndarray
    """(P, 2) float32 start and end in seconds."""
    words: str

    def save(self, path: Path) -> None:
        """Write as .npz, the same bytes for the same truth."""
        values = {k: np.asarray(v) for k, v in self.__dict__.items()}
        for name in ("head_mask", "torso_mask"):
            values[name] = np.packbits(values[name].reshape(len(self.expression), -1), axis=1)
        write_npz(path, **values, valid=np.ones(len(self.expression), bool), fps=np.array(FPS))

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read what `save` wrote."""
        with np.load(path) as z:
            values = {k: z[k] for k in cls.__dataclass_fields__}
        size = int(values["size"])
        for name in ("head_mask", "torso_mask"):
            bits = np.unpackbits(values[name], axis=1)[:, : size * size]
            values[name] = bits.reshape(-1, size, size).astype(bool)
        return cls(**values | {"focal": float(values["focal"]), "size": size, "words": str(values["words"])})


def film(name: str, rig_folder: Path, video: Path, truth: Path, seconds: float | None = None, distance: float | None = None) -> Truth:
    """Film the person called `name` for `seconds` from `distance` metres (by default their own) and write the video (H.264 with AAC
    sound, 25 Hz) and the truth (.npz). The face is as large from any distance: the focal length follows. The same call gives the same
    bytes.

    Raises ManifestError if nobody is called so or the length is impossible, and CastfieldError if the rig is missing.
    """
    person = find(name) if distance is None else replace(find(name), distance=distance)
    length = person.seconds if seconds is None else seconds
    if not 1 / FPS <= length <= 600:
        raise ManifestError("an impossible length for a film", expected="0.04 to 600 seconds", found=length, where=name)
    home = cast_folder(Path(rig_folder))
    rig = load_rig(home)
    take = perform(person, length)
    body = Body(person, rig, identity_of(person, rig, home))
    shot = Shot(person, rig, body, take)
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "speech.wav"
        _write_wav(sound, take.sound)
        encode_mp4(Path(video), shot.pictures(), count=take.frames, sound=sound, crf=14)
    known = shot.truth()
    known.save(Path(truth))
    return known


class Shot:
    """A camera, set up in front of a person who plays a take."""

    def __init__(self, person: Person, rig: Rig, body: Body, take: Take, size: int = SIZE) -> None:
        self.person, self.rig, self.body, self.take, self.size = person, rig, body, take, size
        names = rig.expression_names
        self.expression = np.zeros((take.frames, rig.d), np.float32)
        for name, values in take.expression.items():
            if name in names:  # a rig without some action goes without it
                self.expression[:, names.index(name)] = values
        pivot = rig.neck_pivot.numpy().astype(np.float64) * (1, 0.62, 0.5)
        height = float(np.median(body.neutral[: rig.head_vertices, 1])) - 0.045
        self.focal = size * person.distance / FIELD
        self.poses = [
            head_pose(angles, shift, pivot, person.distance, height)
            for angles, shift in zip(take.head.angles, take.head.shift, strict=True)
        ]
        lean = take.head.angles * (0.12, 0.05, 0.10)
        self.still = [
            head_pose(angles, 0.5 * shift, pivot - (0, 0.25, 0), person.distance, height)
            for angles, shift in zip(lean, take.head.shift, strict=True)
        ]
        self.masks: list[tuple[np.ndarray, np.ndarray]] = []

    def pictures(self) -> Iterator[np.ndarray]:
        """(size, size, 3) uint8 frames in turn."""
        camera = Camera(self.body.surface(), self.body.colours(), backdrop(self.person, self.size), self.focal)
        self.masks = []
        for expression, pose, still in zip(self.expression, self.poses, self.still, strict=True):
            picture, head, torso = camera.picture(*self.moment(expression, pose, still))
            self.masks.append((head > 0.5, torso > 0.5))
            yield picture

    def moment(self, expression: np.ndarray, pose: Pose, still: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points, normals and tangents (V, 3) of a frame in the camera."""
        points = self.body.shape(expression)
        return self.body.place(points, self.body.normals(points), pose, still)

    def truth(self) -> Truth:
        """What was filmed; to be asked for after the last picture."""
        rotation = np.stack([pose.rotation for pose in self.poses]).astype(np.float32)
        translation = np.stack([pose.translation for pose in self.poses]).astype(np.float32)
        points = self.rig.seen_from(self.body.identity, torch.from_numpy(self.expression), rotation).numpy()
        seen = np.einsum("tij,tnj->tni", rotation, points) + translation[:, None]
        head, torso = (np.stack(masks) for masks in zip(*self.masks, strict=True))
        phonemes = self.take.phonemes
        return Truth(
            identity=self.body.identity.numpy(),
            expression=self.expression,
            rotation=rotation,
            translation=translation,
            focal=float(self.focal),
            size=self.size,
            landmarks=(self.focal * seen[..., :2] / seen[..., 2:] + self.size / 2).astype(np.float32),
            head_mask=head,
            torso_mask=torso,
            phonemes=np.array([p.name for p in phonemes], "U8"),
            phoneme_times=np.array([(p.start, p.end) for p in phonemes], np.float32).reshape(-1, 2),
            words=self.take.words,
        )


def _write_wav(path: Path, sound: np.ndarray) -> None:
    with atomic(path) as part, wave.open(str(part), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SYNTH_RATE)
        stream.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
