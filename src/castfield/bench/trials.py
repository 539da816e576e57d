"""Training runs that are looked at on the way: how well held-out frames are rendered after so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from castfield.clip import spread
from castfield.config import Config
from castfield.evaluation.psnr import psnr
from castfield.images import ClipImages
from castfield.rendering.animate import render_frames
from castfield.rigs import Rig
from castfield.systems.model import Model, build_model
from castfield.training.batches import Batches
from castfield.training.loop import fit


@dataclass
class Trial:
    """A model that was trained, and what was seen on the way."""

    model: Model
    seconds: float
    steps: int
    curve: list[tuple[float, float]] = field(default_factory=list)
    """(seconds of training, PSNR in dB)."""


def held_out_psnr(model: Model, images: Sequence[ClipImages], block: str = "speech", most: int = 8) -> float:
    """PSNR over the pixels of the head, dB: mean over up to `most` frames of the block (`speech` or `end`), then over the clips.

    The frames are rendered with the clip's mean latent code, as the stage `render` does for what is held out.
    """
    values = []
    for clip in images:
        frames = spread(getattr(clip.split, block), most)
        track = clip.track
        shown, _ = render_frames(
            model, clip.clip, track.expression[frames], track.rotation[frames], track.translation[frames], clip.focal,
            clip.background[frames],
        )  # fmt: skip
        values.append(np.mean([psnr(s / 255, clip.frames[t] / 255, clip.head[t] > 127) for s, t in zip(shown, frames, strict=True)]))
    return float(np.mean(values))


def trial(
    config: Config,
    images: Sequence[ClipImages],
    rig: Rig | None,
    steps: int,
    *,
    title: str,
    marks: Sequence[float] = (),
    score: Callable[[Model], float] | None = None,
    until: float = np.inf,
    seconds: float = np.inf,
) -> Trial:
    """Train for `steps` steps, or up to the first one after so many `seconds`; at each of `marks` (seconds of training) the model is
    scored, until a score reaches `until` dB.

    What comes before the first step (head, hair, colours and motion that a person starts from) counts as training; scoring does not.
    """
    torch.set_num_threads(config.train.threads)
    began = time.monotonic()
    model = build_model(config, images, rig)
    before = time.monotonic() - began
    found = Trial(model, 0.0, 0)
    coming = sorted(marks)

    def look(step: int, spent: float) -> bool:
        spent += before
        if not coming or score is None or spent < coming[0]:
            return spent >= seconds
        while coming and coming[0] <= spent:
            coming.pop(0)
        model.system.eval()
        found.curve.append((spent, score(model)))
        model.system.train()
        return found.curve[-1][1] >= until or spent >= seconds

    history = fit(model.system, Batches(images, model.system.plan(), config.seed), steps, None, title=title, visit=look)
    found.seconds, found.steps = before + history.seconds, history.steps
    return found


def steps_within(config: Config, images: Sequence[ClipImages], rig: Rig | None, seconds: float, warm: int = 48) -> int:
    """How many steps fit into `seconds` of training on these clips, by the rate of a short run without its first step."""
    timed = trial(config, images, rig, warm, title="rate", marks=[0.0], score=lambda model: 0.0)
    first, _ = timed.curve[0]
    return max(1, 1 + int((seconds - first) * (timed.steps - 1) / (timed.seconds - first)))


def time_to(curve: Sequence[tuple[float, float]], target: float) -> float | None:
    """Seconds at which a curve reaches `target` dB, between two looks by straight line; None if it never does."""
    for (t0, p0), (t1, p1) in zip([(0.0, curve[0][1] if curve and curve[0][1] >= target else -np.inf), *curve], curve, strict=False):
        if p1 >= target:
            return t1 if not np.isfinite(p0) or p1 == p0 else t0 + (t1 - t0) * max(0.0, (target - p0) / (p1 - p0))
    return None


def with_train(config: Config, **changes: object) -> Config:
    """The configuration with other `train` parameters."""
    return replace(config, train=replace(config.train, **changes))  # type: ignore[arg-type]
