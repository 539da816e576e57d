"""The training loop: steps, watch, checkpoints. What is trained is a `Trainable` (`castfield.systems`)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from castfield.errors import TrainingError
from castfield.images import ClipImages
from castfield.training.adam import Adam
from castfield.training.batches import Batch, Batches
from castfield.training.checkpoints import Checkpoints
from castfield.training.distributed import agree, leader_says, leads, own_parts, own_shares, sum_gradients, total, wait_for_all
from castfield.training.parts import Parts
from castfield.training.schedule import ParameterGroup

Visit = Callable[[int, float], bool]
"""Called with the number of steps done and the seconds spent on them; True ends the run."""
WATCH = 20
"""Steps between two looks at loss and gradients; they are summed in between, so that a GPU does not wait for the CPU."""
CURVE_POINTS = 200
"""Rows of the training curve at most."""


class Trainable(Protocol):
    """What the loop asks of a system (an `nn.Module`)."""

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and the mean squared error of its colours (RGB in [0, 1]); progress in [0, 1).

        Of a share of a batch, its part of both: those of all shares add up to the batch's (`Batch.part`).
        """

    def parameter_groups(self) -> list[ParameterGroup]:
        """Parameters with their learning rates."""

    def before_step(self, step: int, random: np.random.Generator, images: Sequence[ClipImages]) -> None:
        """What has to happen before a step; images: all clips."""


@dataclass
class History:
    """How a run went."""

    steps: int = 0
    seconds: float = 0.0
    """Time spent in training, over all attempts where it was killed."""
    cpu_seconds: float = 0.0
    """Time that all threads of all processes were busy: comparable between runs on a machine that does other work as well."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """Rows of step, seconds, loss and psnr, each the mean since the row before."""

    @property
    def psnr(self) -> float | None:
        """PSNR of the training rays at the end, in decibels."""
        return self.curve[-1]["psnr"] if self.curve else None


def psnr(squared_error: float) -> float:
    """-10 log10 of a mean squared error, decibels; at most 100."""
    return -10 * math.log10(max(squared_error, 1e-10))


def pick_device(wanted: str) -> torch.device:
    """`auto`, `cpu` or `cuda` as a device. Raises TrainingError for a GPU that is not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError("no GPU is available", expected="train.device: auto or cpu", found=wanted)
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()) else "cpu")


def fit(
    system: Any,
    batches: Batches,
    steps: int,
    checkpoints: Checkpoints | None,
    *,
    title: str,
    lr_share: float = 1.0,
    visit: Visit | None = None,
) -> History:
    """Train `system` (nn.Module and Trainable) in place for `steps` steps, from the last checkpoint where there is one.

    lr_share scales all learning rates. `visit` looks at the system after each step; its own time does not count. Parameters with
    requires_grad off stay as they are. Raises TrainingError when loss or gradients are not finite, naming the last good checkpoint.

    Several processes (`training.distributed`) all call this: each learns from its share of every batch, the history is that of all.
    """
    device = next(system.parameters()).device
    groups = [g for g in system.parameter_groups() if any(p.requires_grad for p in g.parameters)]
    rated = [{"params": [p for p in g.parameters if p.requires_grad], "lr": g.lr * lr_share, "together": g.together} for g in groups]
    optimiser = Adam(rated)
    history, sums, count = History(), torch.zeros(2, device=device), 0
    wait_for_all()  # for what the leader may still be writing
    if checkpoints and (state := checkpoints.load()):
        system.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        history = History(state["step"], state["seconds"], state["cpu_seconds"], state["curve"])
        sums, count = state["sums"].to(device), state["count"]
        del state  # the weights a second time
    if checkpoints:
        agree(checkpoints.folder.name, history.steps)
    every = max(1, steps // CURVE_POINTS)
    began, began_cpu = time.monotonic() - history.seconds, time.process_time() - (history.cpu_seconds if leads() else 0.0)
    resumed = history.steps

    def save(step: int) -> None:
        _check(system, sums, step, checkpoints, optimiser, None)
        history.seconds, history.cpu_seconds = time.monotonic() - began, total(time.process_time() - began_cpu, device)
        if checkpoints and leads():
            checkpoints.save({
                "step": step, "seconds": history.seconds, "cpu_seconds": history.cpu_seconds, "curve": history.curve,
                "sums": sums.cpu(), "count": count, "model": system.state_dict(), "optimiser": optimiser.state_dict(),
            })  # fmt: skip

    system.train()
    bar = tqdm(total=steps, initial=resumed, desc=title, unit="step", mininterval=1.0, disable=resumed >= steps or not leads())
    with bar, Parts(system.parameters(), own_parts()) as parts:
        for step, batch in zip(range(resumed, steps), batches.ahead(resumed, steps), strict=True):
            progress = step / steps
            for group, rate in zip(optimiser.param_groups, groups, strict=True):
                group["lr"] = rate.rate(step, progress) * lr_share
            system.before_step(step, batches.random(step, purpose=1), batches.images)
            optimiser.zero_grad()
            losses = parts.learn(lambda share: system.loss(share.to(device), progress), own_shares(batch))  # noqa: B023 - called now
            losses = sum_gradients(system.parameters(), losses)
            if step % WATCH == 0:
                _check(system, losses, step, checkpoints, optimiser, [batches.images[p].clip for p in batch.people.unique().tolist()])
            optimiser.step()
            sums += losses
            count += 1
            history.steps = step + 1
            if count == every or step + 1 == steps:
                mean_loss, mean_error = (sums / count).tolist()
                row = {"step": step + 1, "seconds": round(time.monotonic() - began, 2), "loss": mean_loss, "psnr": psnr(mean_error)}
                if math.isfinite(mean_loss):
                    history.curve.append(row)
                    bar.set_postfix(loss=f"{mean_loss:.4g}", psnr=f"{row['psnr']:.1f} dB", refresh=False)
                else:
                    _check(system, sums, step, checkpoints, optimiser, None)
                sums, count = torch.zeros_like(sums), 0
            bar.update()
            if visit is not None:
                paused, paused_cpu = time.monotonic(), time.process_time()
                ended = visit(step + 1, paused - began)
                began, began_cpu = began + time.monotonic() - paused, began_cpu + time.process_time() - paused_cpu
                if leader_says(ended, device):
                    break
            if checkpoints and leader_says(checkpoints.due(), device) and step + 1 < steps:
                save(step + 1)
    if resumed < steps:
        save(history.steps)
    system.eval()
    return history


def _check(
    system: nn.Module, loss: Tensor, step: int, checkpoints: Checkpoints | None, optimiser: torch.optim.Optimizer, clips: list[str] | None
) -> None:
    """Raise TrainingError where loss, gradients or parameters are not finite."""
    bad = [] if bool(torch.isfinite(loss).all()) else ["the loss"]
    for name, parameter in system.named_parameters():
        if not bool(torch.isfinite(parameter.detach().sum())):
            bad.append(name)
        elif parameter.grad is not None and not bool(torch.isfinite(parameter.grad.sum())):
            bad.append(f"the gradient of {name}")
    if not bad:
        return
    last = checkpoints.path if checkpoints and checkpoints.path.exists() else "none yet"
    rates = ", ".join(f"{g['lr']:.3g}" for g in optimiser.param_groups)
    raise TrainingError(
        f"training stopped at step {step}: {bad[0]} is not finite",
        expected="finite loss, gradients and parameters",
        found=f"{len(bad)} that are not, at learning rates {rates}" + (f", on {', '.join(clips)}" if clips else ""),
        where=f"last good checkpoint: {last}",
        cure="lower the learning rate (train.grid.lr, train.grid.lr_network or train.mlp.lr), or look at the tracks of these clips",
    )
