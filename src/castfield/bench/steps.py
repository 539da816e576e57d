"""Where the time of a training step goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from castfield.config import Config
from castfield.images import ClipImages
from castfield.rigs import Rig
from castfield.systems.model import build_model
from castfield.training.batches import Batch, Batches
from castfield.training.loop import fit
from castfield.training.parts import Parts

WARM = 8
"""First steps, which are not counted: memory is laid out and kernels are loaded there."""


class Stopwatch:
    """Adds up the time that functions take, by a name for each."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def on(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*given, **named)
            finally:
                self.seconds[name] += time.perf_counter() - began

        return timed


def step_parts(config: Config, images: Sequence[ClipImages], rig: Rig | None, steps: int = 80) -> dict[str, float]:
    """Milliseconds of a step of waiting for the batch, refreshing the proposal, the way forth and back, Adam, and the rest."""
    model = build_model(config, images, rig)
    system, batches, watch = model.system, Batches(images, model.system.plan(), config.seed), Stopwatch()
    learn, Parts.learn = Parts.learn, watch.on("forth and back", Parts.learn)  # type: ignore[method-assign]
    system.before_step = watch.on("proposal", system.before_step)
    ahead = batches.ahead

    def waited_for(first: int, end: int) -> Iterator[Batch]:
        take = watch.on("draw", ahead(first, end).__next__)
        return (take() for _ in range(first, end))

    batches.ahead = waited_for  # type: ignore[method-assign]
    began_adam = 0.0

    def before(*_: Any) -> None:
        nonlocal began_adam
        began_adam = time.perf_counter()

    def after(*_: Any) -> None:
        watch.seconds["Adam"] += time.perf_counter() - began_adam

    def forget(step: int, seconds: float) -> bool:
        if step == WARM:
            watch.seconds.clear()
            forgotten.append(seconds)
        return False

    forgotten: list[float] = []
    hooks = register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)
    try:
        history = fit(system, batches, steps + WARM, None, title="where the time goes", visit=forget)
    finally:
        Parts.learn = learn  # type: ignore[method-assign]
        for hook in hooks:
            hook.remove()
    whole = history.seconds - forgotten[0]
    parts = dict(watch.seconds) | {"the rest": whole - sum(watch.seconds.values())}
    return {name: round(1000 * seconds / steps, 2) for name, seconds in parts.items()}
