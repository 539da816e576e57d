"""Training one model for a cast (MI-NeRF, section 3.3)."""

from __future__ import annotations

import csv
import hashlib
import io
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import castfield
from castfield.config import Config
from castfield.images import ClipImages
from castfield.rigs import Rig
from castfield.scratch import atomic, fingerprint
from castfield.systems.model import Model, build_model, save_model
from castfield.training.batches import Batches
from castfield.training.checkpoints import Checkpoints
from castfield.training.distributed import threads
from castfield.training.loop import History, fit, pick_device

CODE = ("fields/*.py", "systems/*.py", "training/*.py", "rendering/rays.py", "rendering/sampling.py", "rendering/compositing.py",
        "rendering/march.py", "images.py", "geometry.py")  # fmt: skip


def code_files() -> list[Path]:
    """Source files that a trained model depends on."""
    home = Path(castfield.__file__).parent
    return [path for pattern in CODE for path in sorted(home.glob(pattern))]


def steps_for(config: Config, clips: int) -> int:
    """Optimiser steps of a training run over so many clips."""
    train = config.train
    return train.mlp.steps if train.field == "mlp" else train.grid.steps + train.grid.steps_per_clip * clips


def train(
    config: Config,
    images: Sequence[ClipImages],
    out: Path | None,
    *,
    rig: Rig | None = None,
    steps: int | None = None,
    title: str = "train",
) -> tuple[Model, dict[str, Any]]:
    """Train one field for all clips; writes `<out>/model.pt` (unless out is None) and returns the model and its report.

    With a `rig` the fast field starts from the fitted heads.
    A run that was killed goes on from its checkpoint in the scratch folder and ends with the same bits.
    """
    torch.set_num_threads(threads(config.train.threads))
    steps = steps_for(config, len(images)) if steps is None else steps
    model = build_model(config, images, rig)
    history = fit_model("train", model, images, config, steps, title=title)
    if out is not None:
        save_model(model, out)
    return model, report_of(model, history, images)


def fit_model(
    stage: str, model: Model, images: Sequence[ClipImages], config: Config, steps: int, *, title: str, lr_share: float = 1.0
) -> History:
    """Train a model in place, from the checkpoint of the same run where there is one: see `training.loop.fit`."""
    fixed = [name for name, parameter in model.system.named_parameters() if not parameter.requires_grad]
    parts = [
        stage,
        steps,
        lr_share,
        fixed,
        config.seed,
        model.module,
        learning_config(config),
        state_hash(model),
        *fingerprint_parts(images),
    ]
    checkpoints = Checkpoints(stage, fingerprint(*parts, *code_files()), config.train.save_seconds)
    model.system.to(pick_device(config.train.device))
    batches = Batches(images, model.system.plan(), config.seed)
    return fit(model.system, batches, steps, checkpoints, title=title, lr_share=lr_share)


def learning_config(config: Config) -> Any:
    """The part of the training config that the result depends on."""
    train = replace(config.train, save_seconds=0.0)
    return replace(train, mlp=type(train.mlp)()) if train.field == "grid" else replace(train, grid=type(train.grid)())


def fingerprint_parts(images: Sequence[ClipImages]) -> list[Any]:
    """What enters the fingerprint of a run: the pictures are memory maps, so their bytes are hashed as they lie."""
    parts: list[Any] = []
    for clip in images:
        digest, track = hashlib.sha256(), clip.track
        for array in (
            clip.frames,
            clip.head,
            clip.background,
            clip.boxes,
            clip.train_frames,
            track.expression,
            track.rotation,
            track.translation,
        ):
            digest.update(np.ascontiguousarray(array).data)
        parts += [clip.clip, clip.size, clip.focal, digest.hexdigest()]
    return parts


def state_hash(model: Model) -> str:
    """Hash of a model's weights: what a run starts from."""
    digest = hashlib.sha256()
    for name, value in model.system.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def report_of(model: Model, history: History, images: Sequence[ClipImages]) -> dict[str, Any]:
    """What `metrics/train.json` says, and the training curve under `curve`."""
    report: dict[str, Any] = {
        "clips": len(images),
        "frames": int(sum(len(clip.train_frames) for clip in images)),
        "parameters": model.parameters,
        "module_parameters": sum(p.numel() for p in model.system.module.parameters()),
        "steps": history.steps,
        "seconds": round(history.seconds, 1),
        "cpu_seconds": round(history.cpu_seconds, 1),
        "memory_mib": round(peak_memory(), 1),
        "curve": history.curve,
    }
    if history.seconds > 0:
        report["steps_per_second"] = round(history.steps / history.seconds, 2)
    if history.psnr is not None:
        report["train_psnr"] = round(history.psnr, 3)
    return report


def peak_memory() -> float:
    """Largest resident memory of this process so far, MiB."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def write_curve(path: Path, curve: Sequence[dict[str, float]]) -> None:
    """Write a training curve as CSV: step, seconds, loss, psnr."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["step", "seconds", "loss", "psnr"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    with atomic(path) as part:
        part.write_text(text.getvalue())
