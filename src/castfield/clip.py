"""What is known of one clip after each stage, with the files that hold it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from castfield.errors import ClipError
from castfield.scratch import Rows, map_npz, write_json, write_npz


@dataclass(frozen=True)
class Crop:
    """How `data/frames/<clip>.mkv` was cut from the footage (`<clip>.json` beside it)."""

    box: tuple[float, float, float]
    """Left, top and side of the square in source pixels; may reach beyond the picture, which is then replicated."""
    size: int
    """Side of the stored frames in pixels."""
    source_size: tuple[int, int]
    """Width and height of the footage in pixels."""
    source_fps: float
    """Mean frame rate of the footage in hertz."""
    frames: int
    """Number of stored frames, at 25 Hz."""
    start: float
    """Time of the first stored frame in the footage, in seconds."""
    has_speech: bool
    """Whether the footage has a sound track that is not silent."""
    warnings: tuple[str, ...] = ()
    """What a person should know of this clip: other people in it, decoding errors, a cut."""

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        values: dict[str, Any] = json.loads(path.read_text())
        listed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**listed)


@dataclass(frozen=True)
class Landmarks:
    """`data/landmarks/<clip>.npz`: 478 face points per frame (the face mesh and ten iris points)."""

    points: np.ndarray
    """(T, 478, 3) float32: x and y in pixels of the stored frames, z relative depth in the same unit."""
    confidence: np.ndarray
    """(T,) float32 in [0, 1]; 0 where no face was found."""
    found: np.ndarray
    """(T,) bool. Where it is False, `points` repeats the nearest found frame."""
    tracker: str
    """Name of the network."""
    raw: np.ndarray
    """(T, 478, 2) float32 x and y as the network gave them in one pass; `points` may be the mean of several. For metrics only."""

    def save(self, path: Path) -> None:
        self.write(path, self.points, self.confidence, self.found, self.tracker, self.raw)

    @staticmethod
    def write(
        path: Path, points: np.ndarray | Rows, confidence: np.ndarray, found: np.ndarray, tracker: str, raw: np.ndarray | Rows
    ) -> None:
        """Write what `load` reads; points and raw ones of a long clip need not be held."""
        write_npz(path, points=points, confidence=confidence, found=found, tracker=np.array(tracker), raw=raw)

    @classmethod
    def load(cls, path: Path, mapped: bool = False) -> Self:
        """Read what `save` wrote; `mapped`: from the file only where it is looked at, so that a long clip takes no more memory."""
        values = _read(path, mapped)
        return cls(values["points"], values["confidence"], values["found"], str(values["tracker"]), values["raw"])


@dataclass(frozen=True)
class Track:
    """`data/tracks/<clip>.npz`: the fitted rig. Units: metres, radians, pixels of the stored frames."""

    identity: np.ndarray
    """(I,) float32 coefficients of the rig's identity basis, one set per clip."""
    expression: np.ndarray
    """(T, d) float32 activations of the rig's expression basis."""
    rotation: np.ndarray
    """(T, 3, 3) float32 head -> camera."""
    translation: np.ndarray
    """(T, 3) float32 head origin in the camera, metres."""
    focal: float
    """Focal length in pixels of the stored frames, one per clip."""
    size: int
    """Side of the stored frames in pixels; the optical centre is its middle."""
    valid: np.ndarray
    """(T,) bool: False where there was no usable face; the pose is bridged there and the frame is not trained on."""
    landmarks: np.ndarray
    """(T, 478, 2) float32 the fitted rig's landmarks in pixels; NaN where the rig has no counterpart."""

    def __post_init__(self) -> None:
        frames = len(self.expression)
        for name in ("rotation", "translation", "valid", "landmarks"):
            if len(getattr(self, name)) != frames:
                raise ClipError(f"track: `{name}` has the wrong length", expected=frames, found=len(getattr(self, name)))
        for name in ("identity", "expression", "rotation", "translation"):
            if not np.isfinite(getattr(self, name)).all():
                raise ClipError(f"track: `{name}` is not finite", cure="run the fit again; report this clip")

    def __len__(self) -> int:
        return len(self.expression)

    def save(self, path: Path) -> None:
        write_npz(path, **{k: np.asarray(v) for k, v in self.__dict__.items()})

    @classmethod
    def load(cls, path: Path, mapped: bool = False) -> Self:
        """Read what `save` wrote; `mapped`: from the file only where it is looked at, so that a long clip takes no more memory."""
        values: dict[str, Any] = _read(path, mapped)
        return cls(**{**values, "focal": float(values["focal"]), "size": int(values["size"])})


@dataclass(frozen=True)
class Split:
    """Which frames of a clip are for training and which are held out.

    `end`: the last tenth (the papers' split). `speech`: a block of a tenth in the middle of the sentence. Neither is
    ever trained on: not in the latent codes, not in the occupancy, not in the background plate.
    """

    train: np.ndarray
    end: np.ndarray
    speech: np.ndarray


def split_frames(frames: int, share: float = 0.1) -> Split:
    """Split `frames` frames; index arrays (int64). At least one frame is held out in each block."""
    held = max(1, round(frames * share))
    end = np.arange(frames - held, frames)
    middle = (frames - held) // 2
    speech = np.arange(middle, middle + held)
    train = np.setdiff1d(np.arange(frames), np.concatenate([end, speech]))
    return Split(train, end, speech)


def spread(frames: np.ndarray, count: int) -> np.ndarray:
    """Up to `count` of some frames (N,), the first and the last among them, as evenly spread as they go."""
    return frames[np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))]


def _read(path: Path, mapped: bool) -> dict[str, np.ndarray]:
    if mapped:
        return map_npz(path)
    with np.load(path) as z:
        return {name: z[name] for name in z.files}


def clip_names(folder: Path, suffix: str) -> list[str]:
    """Names of the clips that a stage left in `folder`, in order. Raises ClipError if there is none."""
    names = sorted(p.stem for p in folder.glob(f"*{suffix}") if not p.name.startswith(".") and p.name != "failed.json")
    if not names:
        raise ClipError("a stage finds no clips", expected=f"files *{suffix}", where=folder, cure="dvc repro")
    return names
