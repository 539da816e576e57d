"""Every metric of one rendered video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from castfield import media
from castfield.clip import Track
from castfield.errors import ClipError
from castfield.evaluation import expression, faces
from castfield.evaluation.acd import Acd
from castfield.evaluation.copying import nearest_frames
from castfield.evaluation.entries import Entry
from castfield.evaluation.lpips import Lpips, LpipsNet, heads_file
from castfield.evaluation.lse import LseC, LseD
from castfield.evaluation.metric import Metric, Tally
from castfield.evaluation.psnr import AlignedPsnr, Psnr
from castfield.evaluation.real import Real, synchrony
from castfield.evaluation.ssim import Ssim
from castfield.evaluation.tracked import Tracked, track
from castfield.images import ClipImages, load_images
from castfield.layout import Layout
from castfield.media import FPS
from castfield.scratch import write_json
from castfield.shards import Job

HELD_OUT = {"end": "", "speech": "_speech"}
"""Split -> suffix of the metric's name."""
Makers = dict[str, Callable[[], Metric]]


@dataclass(frozen=True)
class EntryParams:
    """What a rendered video is measured with."""

    entry: Entry
    faces: int
    """Frames whose embedding is taken."""
    root: str = "."
    """The project's root."""


def measure_entry(job: Job, out: Path) -> None:
    """Write `<job>.json`: the sums of every metric of one video. Raises ClipError where render and footage do not fit."""
    params: EntryParams = job.params
    entry = params.entry
    frames = media.decode(job.inputs["video"])
    if len(frames) != len(entry.frames):
        raise ClipError("a render has another length than its index says", expected=len(entry.frames), found=len(frames), where=entry.video)
    real, driver = Real.load(job.inputs["identity"]), Real.load(job.inputs["driver"])
    tally = Tally()
    tracked = track(frames)
    if entry.identity == entry.driver:
        images = load_images(Layout(Path(params.root)), entry.identity, frames.shape[1])
        pictures(tally, entry, frames, images, job)
        mouths(tally, entry, tracked, real)
    likeness(tally, frames, tracked, real, params.faces)
    fidelity(tally, entry, tracked, real, driver, Track.load(job.inputs["identity_track"]), Track.load(job.inputs["driver_track"]))
    if (sync := synchrony(frames, tracked, job)) is not None:
        for suffix, heard in (("", sync), ("_real", driver.sync)):
            distance, confidence = LseD(), LseC()
            if heard is not None:
                distance.update(heard)
                confidence.update(heard)
            tally.put(f"lse_d{suffix}", distance)
            tally.put(f"lse_c{suffix}", confidence)
    write_json(out / f"{job.clip}.json", {"sums": tally.sums, "counts": tally.counts})


def pictures(tally: Tally, entry: Entry, frames: np.ndarray, images: ClipImages, job: Job) -> None:
    """PSNR, SSIM, LPIPS and aligned PSNR of the held-out frames, and of the copy baseline; PSNR of the training frames."""
    makers: Makers = {"psnr": Psnr, "ssim": Ssim}
    if "alexnet" in job.inputs:
        net = LpipsNet.load(job.inputs["alexnet"], heads_file())
        makers["lpips"] = lambda: Lpips(net)
    training = np.array(entry.frames)[entry.of("train")]
    for split, suffix in HELD_OUT.items():
        at = entry.of(split)
        if not len(at):
            continue
        wanted = np.array(entry.frames)[at]
        aligned: Makers = {"psnr_aligned": AlignedPsnr}
        compare(tally, {**makers, **aligned}, "", suffix, frames[at], images, wanted)
        if len(training) and images.track.valid[training].any():
            copied = images.frames[nearest_frames(images.track, wanted, training)]
            compare(tally, makers, "copy_", suffix, copied, images, wanted)
    at = entry.of("train")
    compare(tally, {"psnr": Psnr}, "", "_train", frames[at], images, training)


def compare(tally: Tally, makers: Makers, prefix: str, suffix: str, frames: np.ndarray, images: ClipImages, wanted: np.ndarray) -> None:
    """Score frames (N, S, S, 3) against the real frames `wanted` (N,) over their head masks; a frame without a head is counted."""
    metrics = {f"{prefix}{name}{suffix}": make() for name, make in makers.items()}
    for frame, t in zip(frames, wanted, strict=True):
        mask = images.head[t] > 127
        if not mask.any():
            tally.number("frames_without_head", not prefix)
            continue
        prediction, target = frame.astype(np.float64) / 255, images.frames[t].astype(np.float64) / 255
        for metric in metrics.values():
            metric.update(prediction, target, mask)  # type: ignore[attr-defined]
    for name, metric in metrics.items():
        tally.put(name, metric)


def mouths(tally: Tally, entry: Entry, tracked: Tracked, real: Real) -> None:
    """LMD of the held-out frames that show a face in both."""
    source = np.array(entry.frames)
    for split, suffix in HELD_OUT.items():
        at = entry.of(split)
        at = at[tracked.found[at] & real.tracked.found[source[at]]]
        metric = expression.Lmd()
        metric.update(tracked.points[at], real.tracked.points[source[at]])
        tally.put(f"lmd{suffix}", metric)


def likeness(tally: Tally, frames: np.ndarray, tracked: Tracked, real: Real, count: int) -> None:
    """ACD against the real frames of the target person, and the faces that were not found."""
    at = faces.spread(len(frames), count)
    seen = faces.embed(frames[at], tracked.boxes()[at])
    metric = Acd()
    metric.update(seen.embeddings, real.embeddings)
    tally.put("acd", metric)
    tally.number("acd_frames", seen.asked)
    tally.number("acd_frames_without_face", seen.without)


def fidelity(tally: Tally, entry: Entry, tracked: Tracked, real: Real, driver: Real, own: Track, other: Track) -> None:
    """Does the render do what the driver does: mouth, eyes, blinks, head."""
    source = np.array(entry.frames)
    both = tracked.found & driver.tracked.found[source]
    tally.number("frames_without_landmarks", int(np.sum(~tracked.found)))
    mine, theirs = tracked.points[both], driver.tracked.points[source[both]]
    mouth, blink = expression.MouthCorrelation(), expression.BlinkCorrelation()
    mouth.update(expression.mouth_opening(mine), expression.mouth_opening(theirs))
    blink.update(expression.eye_aspect(mine), expression.eye_aspect(theirs))
    tally.put("mouth_corr", mouth)
    tally.put("blink_corr", blink)
    for name, points in (("blinks_per_s", mine), ("blinks_per_s_real", theirs)):
        rate = expression.BlinkRate()
        rate.update(expression.eye_aspect(points), FPS)
        tally.put(name, rate)
    poses(tally, tracked, source, real, driver, own, other, entry.identity == entry.driver)


def poses(tally: Tally, tracked: Tracked, source: np.ndarray, real: Real, driver: Real, own: Track, other: Track, absolute: bool) -> None:
    """Head rotation of the render against the driver's; for transfer both relative to their means, in the axes of the mean head."""
    usable = real.tracked.found & own.valid
    both = tracked.found & driver.tracked.found[source] & other.valid[source]
    if not usable.any() or not both.any():
        return
    shape = expression.rigid_shape(real.tracked.points[usable], own.rotation[usable])
    measured = expression.head_rotation(tracked.points[both], shape)
    expected = other.rotation[source[both]]
    if not absolute:
        measured, expected = about_mean(measured), about_mean(expected)
    metric = expression.PoseError()
    metric.update(measured, expected)
    tally.put("pose_err", metric)
    if absolute:
        floor = expression.PoseError()
        floor.update(expression.head_rotation(real.tracked.points[source[both]], shape), expected)
        tally.put("pose_err_real", floor)


def about_mean(rotation: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) relative to their mean, in the axes of the mean head."""
    return Rotation.from_matrix(rotation).mean().as_matrix().T @ rotation
