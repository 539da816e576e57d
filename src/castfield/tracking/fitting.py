"""The stage `fit`: the rig laid on every clip; `metrics/tracking.json` says how well."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

from castfield import media
from castfield.clip import Crop, Landmarks, Track, clip_names
from castfield.config import Config, FitConfig
from castfield.errors import CastfieldError, ClipError
from castfield.layout import Layout
from castfield.rigs.stored import read_rig
from castfield.runners import workers
from castfield.scratch import write_json
from castfield.shards import Job, Step, map_clips
from castfield.tracking import face_model, landmark_fit, landmarks, parsing, photometric, solver, surface, turning
from castfield.tracking.fit_metrics import measure
from castfield.tracking.landmark_fit import fit
from castfield.tracking.pace import pace
from castfield.tracking.photometric import detail
from castfield.tracking.truth_metrics import head_overlap, measure_truth


def run(config: Config, layout: Layout) -> None:
    """Fit every clip that has landmarks and masks into `data/tracks`, and write `metrics/tracking.json`."""
    masks = set(clip_names(layout.masks, ".mkv"))
    jobs = [
        Job(
            clip,
            {
                "rig": layout.rig / "rig.npz",
                "landmarks": layout.landmarks / f"{clip}.npz",
                "frames": layout.frames / f"{clip}.mkv",
                "crop": layout.frames / f"{clip}.json",
                "masks": layout.masks / f"{clip}.mkv",
            },
            config.fit,
        )
        for clip in clip_names(layout.landmarks, ".npz")
        if clip in masks
    ]
    fits = Step("fit", fit_clip, jobs, [landmark_fit, photometric, surface, solver, face_model, turning])
    map_clips(fits.stage, fits.work, jobs, layout.tracks, config.work, fits.code)
    steps = landmarks.step(config, layout), parsing.step(config, layout), fits
    write_json(layout.metrics / "tracking.json", summarise(layout) | pace(steps, layout.tracks, workers(config.work)))


def fit_clip(job: Job, out: Path) -> None:
    """Write `<clip>.npz`. Raises ClipError if the fit cannot be used."""
    config: FitConfig = job.params
    cv2.setNumThreads(1)  # one core per clip: the pool of clips is what fills the machine
    start = time.perf_counter()
    seen = Landmarks.load(job.inputs["landmarks"], mapped=True)
    crop = Crop.load(job.inputs["crop"])
    pictures = media.rewindable(lambda: map(detail, media.stream(job.inputs["frames"])), crop.frames)
    try:
        track = fit(read_rig(job.inputs["rig"]), seen, crop.size, config, pictures)
    except np.linalg.LinAlgError as error:
        raise ClipError(
            f"clip '{job.clip}' cannot be fitted", found=error, where=job.inputs["landmarks"], cure="take it out of the manifest"
        ) from None
    track.save(out / f"{job.clip}.npz")
    seconds = time.perf_counter() - start
    print(f"fit: {job.clip}: {len(track)} frames, {len(track) / 25 / seconds:.2f} x real time", flush=True)


def summarise(layout: Layout) -> dict[str, object]:
    """Figures of `metrics/tracking.json`: means over the clips, each clip's own, and against the truth where it came with the footage.

    nme_max is the NME of the worst clip, nme_worst that of the worst frame of all.
    """
    clips: dict[str, dict[str, float]] = {}
    truths: dict[str, dict[str, float]] = {}
    names = read_rig(layout.rig / "rig.npz").expression_names
    for clip in clip_names(layout.tracks, ".npz"):
        track = Track.load(layout.tracks / f"{clip}.npz", mapped=True)
        clips[clip] = measure(track, Landmarks.load(layout.landmarks / f"{clip}.npz", mapped=True))
        truth = layout.truth / f"{clip}.npz"
        if truth.exists():
            try:
                crop = Crop.load(layout.frames / f"{clip}.json")
                truths[clip] = measure_truth(track, truth, crop, names)
                truths[clip]["head_iou"] = head_overlap(media.stream(layout.masks / f"{clip}.mkv"), truth, crop)
            except KeyError as error:
                raise CastfieldError("the ground truth lacks a field", found=error, where=truth, cure="dvc repro -f download") from None
    summary: dict[str, object] = {**_mean(clips), "clips": clips}
    if clips:
        summary["nme_max"] = max(values["nme"] for values in clips.values())
    if truths:
        summary["truth"] = {**_mean(truths), "clips": truths}
    return summary


def _mean(clips: dict[str, dict[str, float]]) -> dict[str, float]:
    names = sorted({name for values in clips.values() for name in values})
    columns = {name: [values[name] for values in clips.values() if name in values] for name in names}
    return {name: round(float(max(v) if name == "nme_worst" else np.mean(v)), 6) for name, v in columns.items()}
