"""Starts the processes that train one model: PyTorch's elastic agent, the engine of `torchrun`, inside the stage."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

from castfield.config import Config
from castfield.errors import CastfieldError, TrainingError
from castfield.layout import Layout
from castfield.training.distributed import joined
from castfield.training.loop import pick_device

Body = Callable[[Config, Layout], None]
RESTARTS = 3
"""How often the processes of a run are started again, from the last checkpoint, after one of them has died."""


def together(body: Body) -> Body:
    """A stage's body (a function of a module, not a nested one) as `work.training_processes` processes that train together.

    Under `torchrun`, which may span machines, the processes are those that it started.
    """

    def start(config: Config, layout: Layout) -> None:
        if dist.is_torchelastic_launched():
            with joined(pick_device(config.train.device)):
                body(config, layout)
        elif config.work.training_processes == 1:
            body(config, layout)
        else:
            _launch(body, config, layout)

    return start


def _launch(body: Body, config: Config, layout: Layout) -> None:
    # Imported here, because a run of one process does without.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Else processes that were started again find the addresses of those before them (PyTorch issue 135712).
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    with tempfile.TemporaryDirectory(prefix="castfield-") as notes:
        settings = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=config.work.training_processes, max_restarts=RESTARTS, run_id="castfield",
            rdzv_backend="c10d", rdzv_endpoint="localhost:0", local_addr="localhost", logs_specs=DefaultLogsSpecs(notes),
        )  # fmt: skip
        try:
            refusals = elastic_launch(settings, _one)(body, config, layout)
        except ChildFailedError as error:
            raise TrainingError(
                f"a process that trains died, and again after {RESTARTS} restarts",
                found=_last_words(error.get_first_failure()[1].message),
                cure="run the stage again: it goes on from the last checkpoint; with work.training_processes=1 it needs the least memory",
            ) from None
        except SignalException as stop:
            if stop.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            sys.exit(128 + stop.sigval)
    for refusal in refusals.values():
        if refusal is not None:
            raise refusal


def _last_words(message: Any) -> str:
    """The error that ended a process, of what the agent knows about it."""
    return str(message["message"] if isinstance(message, dict) else message)


def _one(body: Body, config: Config, layout: Layout) -> CastfieldError | None:
    """One of the processes. A refusal is handed back, because it would only be repeated after a restart."""
    try:
        with joined(pick_device(config.train.device)):
            body(config, layout)
    except CastfieldError as refusal:
        return refusal
    return None
