"""Several processes that train one model: each learns from its share of every batch, and all take the same step.

The gradients are summed here rather than by DistributedDataParallel. A step touches the planes and latent codes of a few people out
of many, so only these need to travel, and what nobody touched must stay without a gradient, because Adam would move it. And the
sums are taken in the same order in every step, so that a run that was killed resumes to the same bits.

Without `joined` there is one process, and everything here costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from castfield.errors import TrainingError
from castfield.training.batches import Batch

PARTS = 2
"""A step is computed in so many parts, whoever computes them: then one process and two take all sums in the same order, and end with
the same bits. Training amplifies rounding: otherwise the losses differ by 1e-5 after a few hundred steps, and pictures by 0.01 dB."""


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    """Whether this is the process that writes: checkpoints, models, curves and the progress bar."""
    return rank() == 0


def own_parts() -> int:
    """How many of a step's parts this process computes: as many processes as do not divide PARTS have one each."""
    return PARTS // world() if PARTS % world() == 0 else 1


def own_shares(batch: Batch) -> list[Batch]:
    """The parts of a batch that this process computes."""
    each = own_parts()
    return [batch.share(k, each * world()) for k in range(rank() * each, (rank() + 1) * each)]


def threads(wanted: int) -> int:
    """This process's part of the threads that a machine's processes are to use together, at least one."""
    return max(1, wanted // (int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if world() > 1 else 1))


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Within it this process is one of those that torchrun started: gloo between CPUs, NCCL between GPUs, one GPU a process.

    Raises TrainingError where a machine has fewer GPUs than processes.
    """
    if device.type == "cuda":
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if int(os.environ["LOCAL_WORLD_SIZE"]) > gpus:
            found = f"{os.environ['LOCAL_WORLD_SIZE']} processes, {gpus} GPUs"
            raise TrainingError("every process that trains needs a GPU of its own", found=found, cure="lower work.training_processes")
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def sum_gradients(parameters: Iterable[nn.Parameter], values: Tensor) -> Tensor:
    """Add up the gradients of all processes, in place, and with them values (n,), whose sums are returned.

    A parameter that some process touched has a gradient in all of them afterwards; one that none touched has none.
    """
    if world() == 1:
        return values
    known = list(parameters)
    touched = torch.tensor([p.grad is not None for p in known], dtype=torch.uint8, device=values.device)
    dist.all_reduce(touched, dist.ReduceOp.MAX)
    moved = [p for p, anybody in zip(known, touched.tolist(), strict=True) if anybody]
    together = torch.cat([values, *(torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in moved)])
    dist.all_reduce(together)
    total, *sums = together.split([len(values), *(p.numel() for p in moved)])
    for parameter, gradient in zip(moved, sums, strict=True):
        parameter.grad = gradient.view_as(parameter)
    return total


def total(value: float, device: torch.device) -> float:
    """The sum of a number over the processes."""
    if world() == 1:
        return value
    summed = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(summed)
    return float(summed)


def leader_says(decision: bool, device: torch.device) -> bool:
    """What the leader decides, for all: clocks differ between processes, and they must stay in step."""
    if world() == 1:
        return decision
    said = torch.tensor(decision, dtype=torch.uint8, device=device)
    dist.broadcast(said, 0)
    return bool(said)


def wait_for_all() -> None:
    """Return when every process has come here."""
    if world() > 1:
        dist.barrier()


def agree(run: str, step: int) -> None:
    """Raise TrainingError, in all processes, unless all train the same run (a fingerprint) from the same step."""
    if world() == 1:
        return
    everybody: list[tuple[str, int] | None] = [None] * world()
    dist.all_gather_object(everybody, (run, step))
    if len(set(everybody)) > 1:
        raise TrainingError(
            "the processes do not train the same model from the same checkpoint",
            expected="the same code, data and parameters, and one scratch folder (CASTFIELD_SCRATCH), on every machine",
            found="; ".join(f"process {k}: run {said[0]}, step {said[1]}" for k, said in enumerate(everybody) if said),
        )
