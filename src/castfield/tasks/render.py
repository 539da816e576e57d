"""What is rendered: reconstruction, expression transfer, novel views, the personalised models.

Every entry of a task is one job of `shards.map_clips`: rendered once, cached under the fingerprint of model, inputs,
parameters and code, so that a kill loses at most the entries in flight. An entry leaves a lossless `<name>.mkv` for
evaluation and a `<name>.mp4` for people; `index.json` says what each frame shows.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import castfield.fields
import castfield.rendering
import castfield.systems
import castfield.tasks
from castfield import geometry, images, media
from castfield.clip import Track, clip_names, split_frames
from castfield.config import Config, RenderConfig
from castfield.errors import ClipError
from castfield.images import ClipImages, load_images
from castfield.layout import Layout
from castfield.rendering.animate import render_frames
from castfield.scratch import write_json
from castfield.shards import Job, failed_clips, map_clips
from castfield.systems.model import Model, load_model
from castfield.tasks import picture, poses
from castfield.tasks.cast_grid import Grid, grid_job, render_grid

CHUNK = 250
"""Frames rendered at once: bounds the memory of a long clip."""
TASKS = ("reconstruction", "transfer", "novel_view", "personal_seen", "personal_unseen")


@dataclass(frozen=True)
class Entry:
    """One rendered video: `identity` under the expressions of `driver` (the same clip, except for transfer)."""

    task: str
    identity: str
    driver: str
    model: str
    """Folder of the model, relative to the root."""
    render: RenderConfig
    root: str = "."
    held_out: tuple[int, ...] = ()
    """Frames of the driver that the model was not trained on; marked in the video."""

    @property
    def name(self) -> str:
        return self.identity if self.identity == self.driver else f"{self.identity}__{self.driver}"

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.root))


@dataclass(frozen=True)
class Drive:
    """What a model is asked for, frame by frame."""

    expression: np.ndarray
    """(T, d)"""
    rotation: np.ndarray
    """(T, 3, 3) head -> camera."""
    translation: np.ndarray
    """(T, 3) metres."""
    background: np.ndarray
    """(n, S, S, 3) uint8 pictures that lie behind the head."""
    behind: np.ndarray
    """(T,) which of them lies behind each frame."""


def ordered_pairs(clips: Sequence[str], most: int, seed: int) -> list[tuple[str, str]]:
    """(identity, driver) of all ordered pairs of different clips, or a seeded sample of `most` of them (0 = all).

    The sample walks along random cyclic shifts of a random order, so that every clip is identity and driver equally
    often, give or take one.
    """
    names = sorted(clips)
    pairs = [(a, b) for a in names for b in names if a != b]
    if not most or len(pairs) <= most:
        return pairs
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(names))
    shifts = generator.permutation(np.arange(1, len(names)))
    walk = [(names[order[i]], names[order[(i + shift) % len(names)]]) for shift in shifts for i in range(len(names))]
    return sorted(walk[:most])


def frame_split(frames: int, trained: np.ndarray) -> list[str]:
    """Per frame: `end` or `speech` where it is held out, else `train` where the model saw it, else `other`.

    trained (n,) int: indices of the frames that the model was trained on.
    """
    split = split_frames(frames)
    names = np.full(frames, "other", dtype=object)
    names[trained] = "train"
    names[split.end], names[split.speech] = "end", "speech"
    return [str(name) for name in names]


def drive_of(entry: Entry, identity: ClipImages, driver: ClipImages) -> Drive:
    """What the model of `entry` is asked to show. Pure: nothing is rendered here."""
    own, other = identity.track, driver.track
    kept = own.valid if own.valid.any() else np.ones(len(own), bool)
    if entry.task in ("transfer", "novel_view"):
        part = excerpt(len(other), entry.render)
        count = part.stop - part.start
        if entry.task == "transfer":
            driven = poses.transfer_poses(own.rotation[kept], own.translation[kept], other.rotation, other.translation, other.valid)
            rotation, translation = (pose[part] for pose in driven)
        else:
            rotation, translation = poses.swing_poses(own.rotation[kept], own.translation[kept], count, entry.render.swing_degrees)
        return Drive(other.expression[part], rotation, translation, identity.background, poses.ping_pong(len(own), count))
    return Drive(own.expression, own.rotation, own.translation, identity.background, np.arange(len(own)))


def excerpt(frames: int, config: RenderConfig) -> slice:
    """Which of a driver's frames transfer and novel views use; at least one."""
    start = min(frames - 1, round(config.start_seconds * media.FPS))
    return slice(start, min(frames, start + max(1, round(config.max_seconds * media.FPS))))


def rendered(model: Model, clip: str, drive: Drive, focal: float) -> Iterator[np.ndarray]:
    """The frames of a drive one by one, (S, S, 3) uint8, rendered in chunks; focal in pixels at `model.size`."""
    count = len(drive.expression)
    margin = model.system.window  # attention over neighbouring frames must not end where a chunk does
    for start in range(0, count, CHUNK):
        first, last = max(0, start - margin), min(count, start + CHUNK + margin)
        part = slice(first, last)
        behind = np.asarray(drive.background[drive.behind[part]])
        frames, _ = render_frames(model, clip, drive.expression[part], drive.rotation[part], drive.translation[part], focal, behind)
        yield from frames[start - first : start - first + CHUNK]


@cache
def _model(folder: str, changed: int) -> Model:
    """A model, loaded once per process; `changed` (time of its file) tells a new one from the old."""
    return load_model(Path(folder), "cuda" if torch.cuda.is_available() else "cpu")


def open_model(folder: Path) -> Model:
    """The model in `folder`, on the GPU where there is one."""
    path = folder / "model.pt"
    return _model(str(folder), path.stat().st_mtime_ns if path.exists() else 0)


def render_entry(job: Job, folder: Path) -> None:
    """Render one entry (`job.params`) to `<name>.mkv`, lossless, and `<name>.mp4`, for people."""
    entry: Entry = job.params
    layout = entry.layout
    model = open_model(layout.root / entry.model)
    identity = load_images(layout, entry.identity, model.size)
    driver = identity if entry.driver == entry.identity else load_images(layout, entry.driver, model.size)
    drive = drive_of(entry, identity, driver)
    lossless = folder / f"{entry.name}.mkv"
    media.encode_lossless_stream(lossless, rendered(model, entry.identity, drive, identity.focal))
    speech = layout.speech / f"{entry.driver}.wav"
    count = len(drive.expression)
    first = excerpt(len(driver), entry.render).start if entry.task in USED else 0
    shown = shown_frames(entry, media.stream(lossless), driver.frames[first:], count)
    sound = speech if speech.exists() else None
    media.encode_mp4(folder / f"{entry.name}.mp4", shown, count=count, sound=sound, start=first / media.FPS, comment=picture.NOTE)


def shown_frames(entry: Entry, renders: Iterator[np.ndarray], truth: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The pictures of an entry's mp4: what it is compared with beside it, labelled and watermarked."""
    side = entry.render.shown_size
    held = np.isin(np.arange(count), np.array(entry.held_out, np.int64))
    for at, render in enumerate(renders):
        big = picture.enlarge(render, side)
        if entry.task == "novel_view":
            yield picture.watermark(big)
            continue
        real = picture.enlarge(truth[at], side)
        if entry.task == "transfer":
            shown = picture.beside(picture.label(real, f"driver: {entry.driver}"), picture.label(big, f"result: {entry.identity}"))
            yield picture.watermark(shown)
            continue
        gap = picture.enlarge(picture.difference(truth[at], render), side)
        note = "render, held out" if held[at] else "render"
        shown = picture.beside(picture.label(real, "ground truth"), picture.label(big, note), picture.label(gap, "difference x 4"))
        yield picture.held_out_bar(picture.watermark(shown), held, at)


def code() -> list[Path]:
    """Sources that a rendered frame depends on."""
    packages = [castfield.fields, castfield.rendering, castfield.systems, castfield.tasks]
    folders = [Path(package.__file__).parent for package in packages if package.__file__]
    modules = [Path(module.__file__) for module in (geometry, images, media) if module.__file__]
    return modules + [path for folder in folders for path in sorted(folder.glob("*.py"))]


USED = {
    "transfer": ("shown_size", "start_seconds", "max_seconds"),
    "novel_view": ("shown_size", "start_seconds", "max_seconds", "swing_degrees"),
}
"""Parameters that a task's videos depend on; of the other tasks `shown_size` alone."""


def used(task: str, config: RenderConfig) -> RenderConfig:
    """The config with what does not concern the task at its defaults, so that changing it renders nothing anew."""
    return RenderConfig(**{name: getattr(config, name) for name in USED.get(task, ("shown_size",))})


def job_of(entry: Entry) -> Job:
    """The work of one entry and every file that it reads."""
    layout = entry.layout
    inputs = {
        "model": layout.root / entry.model / "model.pt",
        "plate": layout.masks / f"{entry.identity}.png",
        "masks": layout.masks / f"{entry.identity}.mkv",
    }
    for role, clip in (("identity", entry.identity), ("driver", entry.driver)):
        inputs |= {f"{role} frames": layout.frames / f"{clip}.mkv", f"{role} track": layout.tracks / f"{clip}.npz"}
    speech = layout.speech / f"{entry.driver}.wav"
    return Job(entry.name, inputs | ({"speech": speech} if speech.exists() else {}), entry)


def index_of(entry: Entry, frames: int, trained: np.ndarray) -> dict[str, Any]:
    """The entry of `index.json`: who, and per rendered frame which frame of the driver it shows and whether it was held out.

    trained (n,) int: frames of the driver that the model learned from. Of a transfer no frame was ever learned.
    """
    if entry.task in ("transfer", "novel_view"):
        shown = range(frames)[excerpt(frames, entry.render)]
        split = ["other"] * len(shown)
    else:
        shown, split = range(frames), frame_split(frames, trained)
    return {
        "name": entry.name, "identity": entry.identity, "driver": entry.driver,
        "frames": list(shown), "split": split, "video": f"{entry.name}.mkv",
    }  # fmt: skip


def render_task(task: str, entries: Sequence[Entry], config: Config, layout: Layout) -> None:
    """Render the entries of one task and write their index."""
    out = layout.renders / task
    map_clips(f"render-{task}", render_entry, [job_of(entry) for entry in entries], out, config.work, code())
    left_out = failed_clips(out)
    listed = []
    for entry in entries:
        if entry.name not in left_out:
            trained = open_model(layout.root / entry.model).frames[entry.identity]
            listed.append(index_of(entry, len(Track.load(layout.tracks / f"{entry.driver}.npz")), trained))
    write_json(out / "index.json", {"entries": listed})


def plan(config: Config, layout: Layout) -> dict[str, list[Entry]]:
    """Every entry of every task."""
    clips = clip_names(layout.tracks, ".npz")

    def entry(task: str, identity: str, driver: str, folder: Path = layout.generic) -> Entry:
        held: tuple[int, ...] = ()
        if task not in ("transfer", "novel_view"):
            split = split_frames(len(Track.load(layout.tracks / f"{driver}.npz")))
            held = tuple(int(f) for f in np.concatenate([split.end, split.speech]))
        return Entry(task, identity, driver, str(folder.relative_to(layout.root)), used(task, config.render), str(layout.root), held)

    known = [clip for clip in clips if clip in open_model(layout.generic).clips]
    if not known:
        raise ClipError("the model knows none of the clips", expected=clips, where=layout.generic, cure="dvc repro train")
    tasks = {
        "reconstruction": [entry("reconstruction", clip, clip) for clip in known],
        "novel_view": [entry("novel_view", clip, clip) for clip in known],
        "transfer": [entry("transfer", *pair) for pair in ordered_pairs(known, config.render.max_pairs, config.seed)],
    }
    for task, who in (("personal_seen", "seen"), ("personal_unseen", "unseen")):
        folder = layout.personal / who
        if (folder / "model.pt").exists():
            clip = open_model(folder).clips[0]
            tasks[task] = [entry(task, clip, clip, folder)]
    return tasks


def render_all(config: Config, layout: Layout) -> None:
    """Render every task into `data/renders/<task>/`, each with its `index.json`, and the cast as a grid."""
    tasks = {task: entries for task, entries in plan(config, layout).items() if entries}
    for task, entries in tasks.items():
        render_task(task, entries, config, layout)
    people = [entry.identity for entry in tasks["reconstruction"]][: config.render.grid_people]
    if len(people) > 1:
        render_cast(people, config, layout)
    for folder in layout.renders.iterdir():  # of a run with other people
        if folder.name not in {*tasks, *(["grid"] if len(people) > 1 else [])}:
            shutil.rmtree(folder)


def render_cast(people: Sequence[str], config: Config, layout: Layout) -> None:
    """Render `data/renders/grid/grid.mp4`, as long as the longest driver shows."""
    lengths = [len(Track.load(layout.tracks / f"{clip}.npz")) for clip in people]
    grid = Grid(
        tuple(people), open_model(layout.generic).size, len(range(max(lengths))[excerpt(max(lengths), config.render)]), str(layout.root)
    )
    map_clips("render-grid", render_grid, [grid_job(grid)], layout.renders / "grid", config.work, code())
