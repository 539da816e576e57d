"""The parts of the bench; each gives figures for `metrics/bench.json`, and curves for the plot."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from castfield.bench.crowd import crowd
from castfield.bench.limits import measure_limits, step_cost
from castfield.bench.steps import step_parts
from castfield.bench.trials import held_out_psnr, steps_within, time_to, trial, with_train
from castfield.config import Config
from castfield.fields.planes import texels
from castfield.images import ClipImages
from castfield.layout import Layout
from castfield.manifest import Manifest
from castfield.rendering.animate import render_frames
from castfield.rigs import Rig
from castfield.systems.learn import steps_for
from castfield.systems.model import Model
from castfield.systems.personal import personalize, without_person

Figures = dict[str, Any]
TARGET = 29.5
"""PSNR in mid-speech to which casts of different sizes are trained, dB."""
RUNS = 3
"""How often training runs to TARGET are timed where a ratio hangs on it: seconds are short enough for a pause to show."""
CROWD_SIZE, CROWD_SECONDS, CROWD = 64, 1.2, (1, 4, 20, 100)


@dataclass
class Bench:
    """What the parts share."""

    config: Config
    layout: Layout
    manifest: Manifest
    images: list[ClipImages]
    rig: Rig
    paper_seconds: float = 480.0
    kept: dict[str, Model] = field(default_factory=dict)
    """Models that a later part takes up."""


def speed(bench: Bench) -> Figures:
    """Steps and samples a second, and what that is of what the machine can do."""
    config, grid = bench.config, bench.config.train.grid.scaled(bench.config.train.size)
    trial(config, bench.images, bench.rig, 8, title="warm-up")
    parameters = 0
    rates = []
    for _ in range(3):
        found = trial(config, bench.images, bench.rig, 60, title="steps/s", marks=(0.0, 1e9), score=lambda model: 0.0)
        rates.append((found.steps - 1) / (found.seconds - found.curve[0][0]))
        parameters = found.model.parameters
    people = min(len(bench.images), grid.clips)
    parameters -= (len(bench.images) - people) * texels(grid.resolutions) * grid.channels  # Adam leaves the others' planes alone
    limits, cost, rate = measure_limits(grid, people), step_cost(grid, people, parameters), max(rates)
    shares = {"flops": rate * cost.flops / limits.flops, "bandwidth": rate * cost.bytes / limits.bytes}
    return {
        "steps_per_second": round(rate, 2),
        "samples_per_second": round(rate * grid.frames * grid.frame_rays(people) * grid.samples),
        "attainable_gflops": round(limits.flops / 1e9, 1),
        "attainable_gbytes": round(limits.bytes / 1e9, 1),
        "share_of_flops": round(shares["flops"], 3),
        "share_of_bandwidth": round(shares["bandwidth"], 3),
        "share_of_limit": round(max(shares.values()), 3),
        "step_ms": step_parts(config, bench.images, bench.rig),
    }


def quality(bench: Bench) -> Figures:
    """How good the fast field is after 20 s and after 90 s of training."""
    figures: Figures = {}
    for seconds in (20, 90):
        # Somewhat fewer than fit, so that as a rule the learning rate has fallen to its end when the clock stops the run.
        steps = round(0.96 * steps_within(bench.config, bench.images, bench.rig, seconds))
        found = trial(bench.config, bench.images, bench.rig, steps, title=f"{seconds} s", seconds=seconds)
        figures[f"seconds_of_{seconds}s"] = round(found.seconds, 1)
        figures[f"steps_of_{seconds}s"] = found.steps
        figures[f"psnr_speech_{seconds}s"] = round(held_out_psnr(found.model, bench.images, "speech"), 3)
        figures[f"psnr_{seconds}s"] = round(held_out_psnr(found.model, bench.images, "end"), 3)
        bench.kept["cast"] = found.model
    return figures


def paper(bench: Bench) -> Figures:
    """When the fast field has what the paper's has after 8 minutes; on few frames, because the paper's field takes long for one.

    The paper's field gets 128 rays a step, with which it comes further in this time than with its own 2048.
    """
    config = with_train(bench.config, field="mlp", mlp=replace(bench.config.train.mlp, rays=128))
    few = bench.images[:: max(1, len(bench.images) // 3)]

    def score(model: Model) -> float:
        return held_out_psnr(model, few, most=1)

    # Somewhat more than fit: the clock stops it, not a rate that was guessed from a few steps.
    steps = round(1.05 * steps_within(config, bench.images, bench.rig, bench.paper_seconds, warm=20))
    slow = trial(config, bench.images, bench.rig, steps, title="the paper's field", seconds=bench.paper_seconds)
    reached = score(slow.model)
    fast = trial(
        bench.config, bench.images, bench.rig, steps_within(bench.config, bench.images, bench.rig, 20), title="the fast field",
        marks=list(np.arange(0.2, 20, 0.1)), score=score, until=reached,
    )  # fmt: skip
    seconds = time_to(fast.curve, reached)
    return {
        "paper_field_seconds": round(slow.seconds, 1),
        "paper_field_steps": slow.steps,
        "paper_field_psnr_speech": round(reached, 2),
        "fast_field_seconds": round(seconds, 2) if seconds else None,
        "ratio_to_paper_field": round(slow.seconds / seconds, 1) if seconds else 0.0,
    }


def scaling(bench: Bench) -> Figures:
    """Time to the same quality for casts of 1, 2, 4 and 8 real people: T(n) / T(1), where T(1) is the mean over the clips alone."""
    most = min(8, len(bench.images))
    sizes = [n for n in (1, 2, 4, 8) if n <= most]
    alone = [[clip] for clip in bench.images[:most]]
    return _times("real", bench.config, {n: alone if n == 1 else [bench.images[:n]] for n in sizes}, bench.rig)


def hundred(bench: Bench) -> Figures:
    """The same for synthetic people by the hundred, at 64 px."""
    config = with_train(bench.config, size=CROWD_SIZE)
    everybody = crowd(CROWD[-1], bench.layout.rig, CROWD_SIZE, CROWD_SECONDS, config.work)
    alone = [[clip] for clip in everybody[:5]]
    return _times("crowd", config, {n: alone if n == 1 else [everybody[:n]] for n in CROWD}, bench.rig)


def rendering(bench: Bench) -> Figures:
    """Frames a second of one person, as arrays: reading, writing and the background are not in it."""
    model = (
        bench.kept.get("cast")
        or trial(bench.config, bench.images, bench.rig, steps_for(bench.config, len(bench.images)), title="train").model
    )
    bench.kept["cast"] = model
    return {f"fps_{side}": round(_frames_per_second(model, bench.images[0], side, count), 2) for side, count in ((128, 75), (512, 6))}


def personal(bench: Bench) -> Figures:
    """An unseen person from 1 s and from 2.5 s of footage, against their score when trained with the cast."""
    config, clips = bench.config, {clip.clip: clip for clip in bench.images}
    person = clips.get(bench.manifest.personal_unseen, bench.images[-1])
    cast = trial(config, bench.images, bench.rig, steps_for(config, len(bench.images)), title="train with everybody").model
    own = held_out_psnr(cast, [person])
    others = without_person(bench.manifest, bench.images, person.clip)
    generic = trial(config, others, bench.rig, steps_for(config, len(others)), title=f"train without {person.clip}").model
    figures: Figures = {"personal_in_the_cast": round(own, 3)}
    for name, seconds in (("1s", 1.0), ("2s", 2.5)):
        began = time.monotonic()
        model, _ = personalize(
            replace(config, personalize=replace(config.personalize, seconds=seconds)), generic, person, None, rig=bench.rig
        )
        figures[f"personal_{name}_seconds"] = round(time.monotonic() - began, 1)
        figures[f"personal_{name}_gap_db"] = round(own - held_out_psnr(model, [person]), 3)
    return figures


def _time_for(config: Config, images: Sequence[ClipImages], rig: Rig, target: float) -> float | None:
    """Seconds of training until held-out frames in mid-speech reach `target` dB; None if they do not."""
    marks = [0.02 * 1.12**k for k in range(86)]
    found = trial(
        config, images, rig, steps_for(config, len(images)), title=f"{len(images)} people", marks=marks,
        score=lambda model: held_out_psnr(model, images[:: max(1, len(images) // 10)], most=3), until=target,
    )  # fmt: skip
    return time_to(found.curve, target)


def _times(kind: str, config: Config, casts: Mapping[int, Sequence[Sequence[ClipImages]]], rig: Rig) -> Figures:
    """Seconds of training to TARGET by number of people, of several casts of one number their mean; everything in each of RUNS rounds."""
    _time_for(config, casts[1][0], rig, TARGET)  # a process's first training loads the kernels
    return of_rounds(
        kind, [{n: _mean([_time_for(config, images, rig, TARGET) for images in some]) for n, some in casts.items()} for _ in range(RUNS)]
    )


def of_rounds(kind: str, rounds: Sequence[Mapping[int, float | None]]) -> Figures:
    """Of rounds of seconds by number of people: the medians, and that of the largest number's over one person's.

    Ratios are taken within a round: a machine that is not ours alone is faster in one minute than in the next. None where a cast did not
    get there.
    """
    most = max(rounds[0])
    ratios = [_ratio(times[most], times[1]) for times in rounds]
    return {
        f"t_{kind}": {str(n): _rounded(_median([times[n] for times in rounds])) for n in rounds[0]},
        f"t{most}_t1": _rounded(_median(ratios)),
        f"t{most}_t1_rounds": {str(number): ratio for number, ratio in enumerate(ratios, 1)},
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one of them is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _median(values: Sequence[float | None]) -> float | None:
    """None where one of them is."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) == len(values) else None


def _frames_per_second(model: Model, clip: ClipImages, side: int, count: int) -> float:
    chosen = np.arange(count) % len(clip)
    track, background = clip.track, np.zeros((count, side, side, 3), np.uint8)
    arguments = (model, clip.clip, track.expression[chosen], track.rotation[chosen], track.translation[chosen], clip.focal)
    began = time.monotonic()
    render_frames(*arguments, background)
    return count / (time.monotonic() - began)


def _ratio(many: float | None, one: float | None) -> float | None:
    return round(many / one, 2) if many and one else None


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if value else None


PARTS: dict[str, Callable[[Bench], Figures]] = {
    "speed": speed,
    "quality": quality,
    "rendering": rendering,
    "personal": personal,
    "scaling": scaling,
    "hundred": hundred,
    "paper": paper,
}
