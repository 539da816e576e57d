"""The stage `evaluate`: every metric of every task, into `metrics/`.

`metrics.json` holds finite numbers only; what could not be computed is left out there and explained in `notes.json`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from castfield import images, media, weights
from castfield.config import Config
from castfield.errors import WeightsError
from castfield.evaluation import (
    acd,
    clips,
    copying,
    entries,
    expression,
    faces,
    lpips,
    lse,
    metric,
    mfcc,
    psnr,
    real,
    ssim,
    syncnet,
    tracked,
)  # fmt: skip
from castfield.evaluation.clips import EntryParams, measure_entry
from castfield.evaluation.entries import Entry, load_entries
from castfield.evaluation.metric import Tally
from castfield.evaluation.real import Real, RealParams, measure_real
from castfield.evaluation.recipes import recipe
from castfield.layout import Layout
from castfield.scratch import atomic, scratch, write_json
from castfield.shards import Job, failed_clips, map_clips
from castfield.tracking import main_person, sixty_eight, trackers

NETWORKS = {
    "alexnet": ("lpips", "copy_lpips"),
    "syncnet_v2": ("lse_d", "lse_c"),
}
"""Weights that are downloaded once, and the metrics that need them."""
_TRACKING = [expression, tracked, trackers, main_person, sixty_eight]
_SYNC = [lse, mfcc, syncnet]
_REAL = [real, faces, images, *_TRACKING, *_SYNC]
_CODE = [clips, acd, copying, entries, lpips, metric, psnr, ssim, *_REAL]


@dataclass(frozen=True)
class Clip:
    """One evaluated video."""

    entry: Entry
    size: int
    tally: Tally


def run(config: Config, layout: Layout) -> None:
    """Evaluate `data/renders` into `metrics/metrics.json`, `per_clip.csv` and `notes.json`."""
    todo = load_entries(layout)
    found, absent = find_networks()
    with tempfile.TemporaryDirectory(dir=scratch("evaluate", "x").parent) as folder:
        measured, failed = measure(todo, config, layout, found, Path(folder))
    model = generic_model(layout)
    write_json(layout.metrics / "metrics.json", summary(measured) | model)
    write_csv(layout.metrics / "per_clip.csv", measured)
    write_json(layout.metrics / "notes.json", notes(measured, absent, failed, model))


def find_networks() -> tuple[dict[str, Path], dict[str, str]]:
    """Weights at hand by name, and why each missing metric is missing."""
    found: dict[str, Path] = {}
    absent: dict[str, str] = {}
    for name, metrics in NETWORKS.items():
        try:
            found[name] = weights.find(name)
            if name == "alexnet":
                lpips.heads_file()
        except WeightsError as error:
            found.pop(name, None)
            absent |= dict.fromkeys(metrics, str(error))
            print(f"evaluate: without {', '.join(metrics)}: {error.fault}", flush=True)
    return found, absent


def measure(
    todo: Sequence[Entry], config: Config, layout: Layout, networks: dict[str, Path], folder: Path
) -> tuple[list[Clip], dict[str, str]]:
    """Measure the real clips, then every entry; the results, and the entries that failed with the reason."""
    sizes = {entry: media.probe(layout.renders / entry.task / entry.video).width for entry in todo}
    count = config.evaluate.faces_per_clip
    wanted = sorted({(clip, sizes[e]) for e in todo for clip in (e.identity, e.driver)})
    sync = {"syncnet": networks["syncnet_v2"]} if "syncnet_v2" in networks else {}

    def speech(clip: str) -> dict[str, Path]:
        path = layout.speech / f"{clip}.wav"
        return {"speech": path} if path.exists() else {}

    jobs = [
        Job(f"{clip}-{size}", {"frames": layout.frames / f"{clip}.mkv", **speech(clip), **sync}, RealParams(clip, size, count))
        for clip, size in wanted
    ]
    map_clips("evaluate-real", measure_real, jobs, folder / "real", config.work, _REAL)
    broken = failed_clips(folder / "real")

    def job(entry: Entry) -> Job:
        size = sizes[entry]
        inputs = {
            "video": layout.renders / entry.task / entry.video,
            "identity": folder / "real" / f"{entry.identity}-{size}.npz",
            "driver": folder / "real" / f"{entry.driver}-{size}.npz",
            "identity_track": layout.tracks / f"{entry.identity}.npz",
            "driver_track": layout.tracks / f"{entry.driver}.npz",
            **speech(entry.driver),
            **sync,
        }
        if entry.identity == entry.driver:
            inputs |= {f"{role}": path for role, path in footage(layout, entry.identity).items()}
            inputs |= {"alexnet": networks["alexnet"], "heads": lpips.heads_file()} if "alexnet" in networks else {}
        return Job(f"{entry.task}-{entry.name}", inputs, EntryParams(entry, count, str(layout.root)))

    possible = [e for e in todo if not {f"{e.identity}-{sizes[e]}", f"{e.driver}-{sizes[e]}"} & set(broken)]
    map_clips("evaluate", measure_entry, [job(e) for e in possible], folder / "entries", config.work, _CODE)
    failed = broken | failed_clips(folder / "entries")
    measured = []
    for entry in possible:
        path = folder / "entries" / f"{entry.task}-{entry.name}.json"
        if path.exists():
            tally = Tally(**json.loads(path.read_text()))
            one, other = (Real.load(folder / "real" / f"{clip}-{sizes[entry]}.npz") for clip in (entry.identity, entry.driver))
            references(tally, entry, one, other)
            measured.append(Clip(entry, sizes[entry], tally))
    return measured, failed


def footage(layout: Layout, clip: str) -> dict[str, Path]:
    """The files behind `images.load_images`."""
    return {"frames": layout.frames / f"{clip}.mkv", "masks": layout.masks / f"{clip}.mkv", "plate": layout.masks / f"{clip}.png"}


def references(tally: Tally, entry: Entry, identity: Real, driver: Real) -> None:
    """What ACD is between real frames: of the same clip, and of the driver and the target."""
    same, other = acd.Acd(), acd.Acd()
    same.update(identity.embeddings[::2], identity.embeddings[1::2])
    tally.put("acd_real", same)
    if entry.identity != entry.driver:
        other.update(driver.embeddings, identity.embeddings)
        tally.put("acd_others", other)


def summary(measured: Sequence[Clip]) -> dict[str, dict[str, float]]:
    """{task: {metric: number}}."""
    tasks: dict[str, Tally] = {}
    for clip in measured:
        tasks.setdefault(clip.entry.task, Tally()).merge(clip.tally)
    return {task: tally.compute() for task, tally in tasks.items()}


def generic_model(layout: Layout) -> dict[str, dict[str, float]]:
    """The size of the model from `metrics/train.json`. Seconds and memory stay there: they differ from run to run."""
    path = layout.metrics / "train.json"
    value = json.loads(path.read_text()).get("parameters") if path.exists() else None
    return {"model": {"parameters": value}} if isinstance(value, int | float) and np.isfinite(value) else {}


def write_csv(path: Path, measured: Sequence[Clip]) -> None:
    """One row per video: task, name, identity, driver, then the metrics; an empty cell where there is none."""
    rows = [(clip.entry, clip.tally.compute()) for clip in measured]
    columns = sorted({name for _, values in rows for name in values})
    lines = [",".join(["task", "name", "identity", "driver", *columns])]
    for entry, values in sorted(rows, key=lambda row: (entries.TASKS.index(row[0].task), row[0].name)):
        lines.append(",".join([entry.task, entry.name, entry.identity, entry.driver, *(str(values.get(c, "")) for c in columns)]))
    with atomic(path) as part:
        part.write_text("\n".join(lines) + "\n")


def notes(measured: Sequence[Clip], absent: dict[str, str], failed: dict[str, str], model: dict[str, Any]) -> dict[str, Any]:
    """Recipes of the figures that stand in `metrics.json`, why others do not, the pairs, the videos left out."""
    sizes = sorted({clip.size for clip in measured})
    names = sorted({name for clip in measured for name in clip.tally.compute()} | set(model.get("model", {})))
    silent = sorted({clip.entry.driver for clip in measured if "lse_d" not in clip.tally.sums})
    if "lse_d" not in absent and silent:
        absent = absent | {"lse_d": f"no sound, no face or under {lse.MEDIAN} frames: {', '.join(silent)}"}
    return {
        "recipes": {name: recipe(name, sizes[0]) for name in names} if sizes else {},
        "absent": absent,
        "failed": failed,
        "pairs": sorted([c.entry.identity, c.entry.driver] for c in measured if c.entry.task == "transfer"),
        "size": sizes,
    }
