"""The only reader of `params.yaml`: one frozen dataclass per stage, a sentence under each field.

YAML 1.1 reads `1e-05` as text and `off` as a boolean, and `dvc exp run -S train.lr=1e-5` writes just that; so every
value is coerced to its declared type. Unknown keys and impossible values are refused with the nearest valid name.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import yaml

from castfield.errors import ConfigError, nearest

System = Literal["mi_nerf"]
Module = Literal["M", "H", "baseline", "A1", "A2", "A3", "A4", "A5", "A6", "A7", "concat", "M_latent"]
Runner = Literal["inline", "processes", "ray"]


@dataclass(frozen=True)
class RigConfig:
    model: Literal["anny", "bfm", "flame", "smplx"] = "anny"
    """Parametric model that is baked. Anny is free and comes along; the others are read from the files that a licensee has."""
    path: str = ""
    """Folder (or file) of the licensed model; after a change of its content `dvc repro -f rig`."""
    expressions: int = 0
    """Most expression directions of a licensed model, jaw and gaze not counted; 0 = all (79 of BFM, 100 of FLAME and SMPL-X)."""
    landmark_spread_mm: float = 4.0
    """Landmarks whose position on the mesh scatters more than this over the views are not used by the fit."""


@dataclass(frozen=True)
class WorkConfig:
    runner: Runner = "processes"
    """Where clips are worked on: this process, a pool of processes, or Ray tasks (extra `ray`)."""
    workers: int = 0
    """Processes or tasks at once; 0 = one per core."""
    training_processes: int = 1
    """Processes that train one model together (gloo on CPUs, NCCL on GPUs, one GPU each); the result is that of one process."""
    max_failed: float = 0.25
    """Share of clips that may fail in a stage before the stage itself fails."""


@dataclass(frozen=True)
class DownloadConfig:
    retries: int = 3
    """Attempts per file before it counts as dead."""
    timeout: float = 30.0
    """Seconds without a byte before an attempt is given up."""


@dataclass(frozen=True)
class FramesConfig:
    size: int = 256
    """Side of the square crop in pixels; what trackers see. Training resizes to `train.size`."""
    margin: float = 0.55
    """Room around the face box, as a share of its side, for hair, neck and shoulders."""
    min_seconds: float = 1.0
    """Shorter clips are refused."""
    max_seconds: float = 300.0
    """Longer clips are cut here."""


@dataclass(frozen=True)
class LandmarksConfig:
    tracker: Literal["mediapipe", "face_alignment"] = "mediapipe"
    """Which network finds the face landmarks."""
    min_found: float = 0.7
    """Share of frames with a face below which a clip is refused."""


@dataclass(frozen=True)
class ParseConfig:
    parser: Literal["selfie", "bisenet"] = "selfie"
    """Which network separates the person from the background. `bisenet` also tells head from torso; it needs weights."""


@dataclass(frozen=True)
class FitConfig:
    photometric: bool = True
    """Refine the pose of every frame by the picture's brightness, to a small part of a pixel."""
    smooth: float = 1.0
    """Weight of temporal smoothness (1 = the default physical scale)."""
    identity_prior: float = 1.0
    """Weight of the identity prior."""
    expression_prior: float = 1.0
    """Weight of the expression prior."""


@dataclass(frozen=True)
class AudioConfig:
    features: Literal["mfcc", "mel"] = "mfcc"
    """Which features stand for a video frame's sound."""


@dataclass(frozen=True)
class MLPConfig:
    steps: int = 400000
    """Optimiser steps (paper: 400k for one or two people, 500k for 10, 600k for 20, 800k for 100)."""
    rays: int = 2048
    """Rays a step, all in one random frame."""
    coarse: int = 64
    """Samples a ray of the coarse network."""
    fine: int = 128
    """Further samples a ray of the fine network."""
    width: int = 256
    """Width of the hidden layers."""
    layers: int = 8
    """Hidden layers before density and colour part."""
    colour_width: int = 128
    """Width of the colour branch."""
    colour_layers: int = 4
    """Layers of the colour branch."""
    frequencies_x: int = 10
    """Frequencies of the positional encoding of points."""
    frequencies_v: int = 4
    """Frequencies of the positional encoding of directions."""
    lr: float = 5e-4
    """Learning rate at the start."""
    lr_end: float = 5e-5
    """Learning rate at the end; exponential in between."""
    head_share: float = 0.95
    """Share of the rays inside the head's box."""
    latent_weight: float = 0.01
    """Weight of |l|^2 in the loss."""
    identity_weight: float = 1e-4
    """Weight of |i|^2 in the loss."""
    smooth_after: float = 0.5
    """Share of the steps after which attention over a window of frames smooths module output and latent codes."""
    window: int = 8
    """Frames in that window."""


@dataclass(frozen=True)
class GridConfig:
    steps: int = 400
    """Optimiser steps, to which `steps_per_clip` adds."""
    steps_per_clip: int = 65
    """Further optimiser steps for each clip of the cast."""
    frames: int = 16
    """Frames a step."""
    clips: int = 8
    """Clips a step at most; its frames are spread over them evenly."""
    rays: int = 128
    """Rays a frame a step, at least."""
    person_rays: int = 1024
    """Rays a person a step, at least: frames have more of them where they are of many people."""
    samples: int = 5
    """Samples a ray, placed by the proposal."""
    channels: int = 16
    """Features a plane and level."""
    resolutions: tuple[int, ...] = (32, 64, 128)
    """Texels along each side of the frontal planes for pictures of 128 pixels, one level each; depth has a quarter."""
    expression_planes: int = 8
    """Planes that expression mixes."""
    expression_resolution: int = 64
    """Texels along a side of the expression planes for pictures of 128 pixels."""
    width: int = 64
    """Width of the hidden layers."""
    lr: float = 5e-2
    """Learning rate of the planes at the start."""
    lr_network: float = 6e-3
    """Learning rate of everything else at the start."""
    warm_steps: int = 16
    """Steps over which it rises to that: Adam's first steps are as long as its rate, whatever they are worth."""
    lr_end: float = 0.1
    """Learning rates at the end, as a share of those at the start; exponential in between."""
    head_share: float = 0.95
    """Share of the rays inside the head's box."""
    lips_share: float = 0.25
    """Share of the rays inside the lips' box, which count among the head's."""
    eyes_share: float = 0.1
    """Share of the rays inside the eyes' box, which count among the head's."""
    mask_weight: float = 0.1
    """Weight of the squared difference between opacity and head mask in the loss."""
    density_weight: float = 1e-4
    """Weight of what is learned of the raw density, mean squares on rays and at random places: without evidence, fit and masks hold."""
    latent_weight: float = 0.1
    """Weight of |l|^2 in the loss."""
    identity_weight: float = 1e-4
    """Weight of |i|^2 in the loss."""

    def frame_rays(self, people: int) -> int:
        """Rays a frame where a step sees so many people; an even number, because every second one has a random place beside it."""
        return max(self.rays, 2 * -(-self.person_rays * people // (2 * self.frames)))

    def scaled(self, size: int) -> GridConfig:
        """For pictures of another size: as many texels a pixel as at 128 pixels."""

        def texels(resolution: int) -> int:
            return max(4, round(resolution * size / 128))

        levels = tuple(texels(r) for r in self.resolutions)
        return replace(self, resolutions=levels, expression_resolution=texels(self.expression_resolution))


@dataclass(frozen=True)
class TrainConfig:
    field: Literal["grid", "mlp"] = "grid"
    """`grid`: fast planes near the head's surface. `mlp`: the paper's network, to the letter."""
    size: int = 128
    """Side of the training images in pixels."""
    identity: Literal["planes", "conditioning"] = "planes"
    """`grid` only. Planes: each person has planes of their own. Conditioning: identity enters only through the module."""
    k: int = 0
    """Rank of the module's products; 0 = the paper's (8 for M, d for H and M_latent)."""
    N: int = 0
    """Degree of the module H; 0 = the paper's (2)."""
    o: int = 0
    """Output dimension of M, H and M_latent; 0 = d."""
    latent: bool = True
    """Learned latent code per frame."""
    latent_dim: int = 32
    """Length of a latent code."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes a GPU if there is one."""
    threads: int = 2
    """Threads on the CPU, of all processes of a machine together; fixed, because sums in another order give other last bits."""
    save_seconds: float = 10.0
    """Time between checkpoints; a killed run resumes from the last one to the same bits."""
    grid: GridConfig = dataclasses.field(default_factory=GridConfig)
    mlp: MLPConfig = dataclasses.field(default_factory=MLPConfig)


@dataclass(frozen=True)
class PersonalizeConfig:
    seconds: float = 1.0
    """Seconds of footage that the person is learned from, counted from the clip's start; held-out frames in them are left out."""
    steps: int = 1600
    """Optimiser steps; the interaction module stays frozen, with the fast field all but the person's planes and identity code."""
    lr_share: float = 1.0
    """Learning rate at the start, as a share of training's."""
    unseen_steps: float = 0.5
    """Share of training's steps for the cast without the unseen person, where the generic model has seen them."""
    doubt: float = 1.0
    """Seconds of somebody new from which half of what the cast taught of expressions is believed (`personal.belief`); 0: all of it."""


@dataclass(frozen=True)
class RenderConfig:
    swing_degrees: float = 15.0
    """Novel views swing this far to each side."""
    max_pairs: int = 90
    """Most (identity, driver) pairs of expression transfer; beyond it a seeded sample. 0 = all ordered pairs."""
    start_seconds: float = 0.0
    """Where in a driver's clip transfer and novel views begin."""
    max_seconds: float = 3.0
    """Transfer and novel views use this much of a driver's clip."""
    shown_size: int = 384
    """Side in pixels of each panel of the videos for people; the lossless ones keep `train.size`."""
    grid_people: int = 9
    """Most people in the video of the whole cast, as rows and as columns."""


@dataclass(frozen=True)
class EvaluateConfig:
    faces_per_clip: int = 8
    """Frames per clip whose face embedding enters ACD."""


@dataclass(frozen=True)
class ReportConfig:
    title: str = "Castfield"
    """Heading of the page."""
    overlay_seconds: float = 3.0
    """Seconds of each clip that are shown with mesh, landmarks and masks laid over, from its start; 0 = none."""


@dataclass(frozen=True)
class Config:
    """All of `params.yaml`."""

    system: System = "mi_nerf"
    """Which paper's system: its conditions, field, sampling and losses."""
    module: Module = "M"
    """How identity and expression interact before they condition the field."""
    dataset: str = "demo"
    """The footage: `data/manifests/<dataset>.yaml`."""
    seed: int = 0
    """Seed of everything random; the same seed gives the same bits on one machine."""
    work: WorkConfig = field(default_factory=WorkConfig)
    rig: RigConfig = field(default_factory=RigConfig)
    download: DownloadConfig = field(default_factory=DownloadConfig)
    frames: FramesConfig = field(default_factory=FramesConfig)
    landmarks: LandmarksConfig = field(default_factory=LandmarksConfig)
    parse: ParseConfig = field(default_factory=ParseConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    personalize: PersonalizeConfig = field(default_factory=PersonalizeConfig)
    render: RenderConfig = field(default_factory=RenderConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    report: ReportConfig = field(default_factory=ReportConfig)


def load_config(path: Path | str = "params.yaml") -> Config:
    """Read and check a parameter file. Raises ConfigError naming the key, what was expected and what was found."""
    try:
        raw = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise ConfigError("no parameter file", where=path, cure="run from the project's root") from None
    except yaml.YAMLError as error:
        raise ConfigError("the parameter file is not YAML", found=error, where=path) from None
    config: Config = from_dict(Config, raw or {}, where=str(path))
    _check_limits(config, str(path))
    return config


LIMITS: dict[str, tuple[float, float]] = {
    "work.training_processes": (1, 1024),
    "work.max_failed": (0.0, 1.0),
    "download.retries": (1, 100),
    "download.timeout": (0.1, 3600.0),
    "frames.size": (64, 2048),
    "frames.margin": (0.0, 3.0),
    "frames.min_seconds": (0.2, 3600.0),
    "frames.max_seconds": (0.2, 36000.0),
    "train.grid.channels": (3, 1024),
    "train.grid.width": (6, 4096),
}
"""Least and greatest value of numbers that not every non-negative one will do for."""


def _check_limits(config: Config, where: str) -> None:
    for key, (least, most) in LIMITS.items():
        value: Any = reduce(getattr, key.split("."), config)
        if not least <= value <= most:
            raise ConfigError("an impossible value", expected=f"{least:g} to {most:g}", found=value, where=f"{where}: {key}")
    if config.frames.min_seconds > config.frames.max_seconds:
        found = f"{config.frames.min_seconds:g} > {config.frames.max_seconds:g}"
        raise ConfigError("no clip can be long enough", expected="min_seconds <= max_seconds", found=found, where=f"{where}: frames")
    if not NAME.fullmatch(config.dataset):
        expected = "the name of a file data/manifests/<dataset>.yaml: letters, digits, - and _"
        raise ConfigError("not a usable name of a data set", expected=expected, found=repr(config.dataset), where=f"{where}: dataset")


def from_dict(kind: type, values: Any, where: str) -> Any:
    """Build dataclass `kind` from a mapping, coercing each value to the declared type. Raises ConfigError."""
    if not isinstance(values, dict):
        raise ConfigError("a section is not a mapping", expected="keys and values", found=repr(values), where=where)
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise ConfigError(f"unknown key '{key}'", expected=nearest(str(key), hints), where=where)
    for entry in dataclasses.fields(kind):
        if entry.name not in values and entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            raise ConfigError(f"the key '{entry.name}' is missing", expected=", ".join(hints), where=where)
    return kind(**{key: coerce(value, hints[key], f"{where}: {key}") for key, value in values.items()})


def coerce(value: Any, kind: Any, where: str) -> Any:
    """`value` as `kind`: int, float, bool, str, a Literal, a tuple, an optional of these or a dataclass."""
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return from_dict(typing.cast(type, kind), value, where)
    if origin in (typing.Union, types.UnionType):
        inner = [k for k in typing.get_args(kind) if k is not type(None)]
        return None if value is None or value == "null" else coerce(value, inner[0], where)
    if origin is Literal:
        choices = typing.get_args(kind)
        text = {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value
        if text in choices:
            return text
        raise ConfigError(f"no such choice '{value}'", expected=nearest(str(value), choices), where=where)
    if origin is tuple:
        inner_kind = typing.get_args(kind)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError("not a list", expected="a list", found=repr(value), where=where)
        return tuple(coerce(v, inner_kind, where) for v in value)
    converted = _scalar(value, kind)
    if converted is None:
        raise ConfigError("a value has the wrong type", expected=kind.__name__, found=repr(value), where=where)
    if isinstance(converted, int | float) and not isinstance(converted, bool) and not _sane(converted):
        raise ConfigError("an impossible value", expected="a finite number, 0 or more", found=value, where=where)
    return converted


def _sane(number: float) -> bool:
    return number >= 0 and number != float("inf")


def _scalar(value: Any, kind: type) -> Any:
    """`value` as bool, int, float or str; None where it cannot be one without loss."""
    if kind is bool:
        words = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}
        return value if isinstance(value, bool) else words.get(str(value).lower())
    if isinstance(value, bool):
        return {True: "on", False: "off"}[value] if kind is str else None
    if kind is str:
        return str(value) if isinstance(value, str | int | float) else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if kind is float:
        return number
    return int(number) if number == number and number not in (float("inf"), float("-inf")) and number == int(number) else None


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a clip or data set may be called: it becomes a file name."""
