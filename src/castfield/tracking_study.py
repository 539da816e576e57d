"""python -m castfield.tracking_study [cast] [identity] [focal] [speed]

How good the track is, on the cast (six people, 10 s each), and what it costs: the tables of `docs/tracking.md`, all or the ones named.
Needs the stage `rig`. What is filmed and tracked is kept in the scratch folder; figures of the cast also go to
`metrics/tracking_cast.json`.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from castfield import cast, frames, media
from castfield.cast import filming, performance
from castfield.clip import Crop, Landmarks
from castfield.config import Config, load_config
from castfield.documents import fill
from castfield.footage import Footage
from castfield.layout import Layout
from castfield.rigs.base import Rig
from castfield.scratch import scratch, sha256, write_json
from castfield.shards import Job, Work, map_clips
from castfield.tracking import fitting, landmarks, parsing
from castfield.tracking.landmark_fit import FOCAL_PRIOR, fit
from castfield.tracking.photometric import detail
from castfield.tracking.solver import Noise
from castfield.tracking.truth_metrics import JUDGED, measure_truth

PAGE = Path("docs/tracking.md")
METRICS = Path("metrics/tracking_cast.json")
SECONDS = 10.0
DISTANCES = 0.6, 1.15, 2.5
"""Metres from which one person is filmed, the face as large each time."""
SOMEBODY = "bo"
LENGTHS = 10, 60, 300
"""Seconds of a looped clip whose tracking is timed."""


def film_clip(job: Job, out: Path) -> None:
    """`<clip>.mp4` and its truth, `<clip>.npz`."""
    name, seconds, distance = job.params
    cast.film(name, job.inputs["rig"].parent, out / f"{job.clip}.mp4", out / f"{job.clip}.npz", seconds, distance)


def track_people(config: Config, rig: Path) -> Layout:
    """Film the cast, and SOMEBODY from every distance; cut, track, parse and fit them. Where all of it lies."""
    layout = Layout(scratch("tracking-study", "x").parent)
    layout.rig.parent.mkdir(parents=True, exist_ok=True)
    if not layout.rig.is_symlink():
        layout.rig.symlink_to(rig.resolve())
    takes: dict[str, tuple[str, float, float | None]] = {name: (name, SECONDS, None) for name in cast.people()}
    takes |= {f"{SOMEBODY}-{distance:g}m": (SOMEBODY, SECONDS, distance) for distance in DISTANCES}
    inputs = {"rig": layout.rig / "rig.npz", "body": layout.rig / "body.npz"}
    jobs = [Job(clip, inputs, take) for clip, take in takes.items()]
    map_clips("study-film", film_clip, jobs, layout.raw, config.work, [filming, performance], {".npz": layout.truth})
    for clip in takes:
        file = layout.raw / f"{clip}.mp4"
        Footage(file.name, sha256(file), clip).save(layout.raw / f"{clip}.json")
    for stage in (frames, landmarks, parsing, fitting):
        stage.run(config, layout)
    return layout


def cast_table(config: Config, layout: Layout) -> str:
    """Errors against the truth, by person and on average."""
    clips = json.loads((layout.metrics / "tracking.json").read_text())["truth"]["clips"]
    clips = {name: clips[name] for name in cast.people()}
    keys = ("rotation_deg", "lateral_mm", "depth_pct", "head_iou", "expression_corr", *(f"expression_corr_{name}" for name in JUDGED))
    means = {key: float(np.mean([c[key] for c in clips.values() if key in c])) for key in keys}
    write_json(METRICS, {**{key: round(value, 6) for key, value in means.items()}, "seconds": SECONDS, "clips": clips})
    lines = [_row("", *clips, "mean"), _row(*["---"] * (len(clips) + 2))]
    for key in keys:
        label = key.replace("expression_corr_", "corr. ").replace("_", " ")
        lines.append(_row(label, *(f"{c[key]:.3f}" if key in c else "still" for c in clips.values()), f"**{means[key]:.3f}**"))
    return "\n".join(lines)


def identity_table(config: Config, layout: Layout) -> str:
    """Root mean square error of the moving activations: identity found, and the true one kept."""
    lines = [_row("", "identity found", "true identity kept", "change"), _row(*["---"] * 4)]
    both = []
    for name in cast.people():
        with np.load(layout.truth / f"{name}.npz") as z:
            identity = z["identity"].astype(np.float64)
        found, kept = (_refit(config, layout, name, known)["expression_error"] for known in (None, identity))
        both.append((found, kept))
        lines.append(_row(name, f"{found:.4f}", f"{kept:.4f}", f"{100 * (kept / found - 1):+.1f} %"))
    found, kept = np.mean(both, 0)
    return "\n".join([*lines, _row("mean", f"{found:.4f}", f"{kept:.4f}", f"**{100 * (kept / found - 1):+.1f} %**")])


def focal_table(config: Config, layout: Layout) -> str:
    """One person from three distances: what the footage says of the focal length, and what the prior makes of it."""
    lines = [_row("distance, true focal length", "prior", "fitted focal length", "rotation", "lateral", "depth, one scale a clip")]
    lines.append(_row(*["---"] * 6))
    for distance in DISTANCES:
        clip = f"{SOMEBODY}-{distance:g}m"
        crop = Crop.load(layout.frames / f"{clip}.json")
        with np.load(layout.truth / f"{clip}.npz") as z:
            true = float(z["focal"]) / crop.box[2]
        for label, spread in (("usual", Noise.focal), ("none", 3.0)):
            values = _refit(config, layout, clip, None, Noise(focal=spread))
            told = [f"{values[k]:.2f} {unit}" for k, unit in (("rotation_deg", "deg"), ("lateral_mm", "mm"), ("depth_pct", "%"))]
            name = f"{label} ({FOCAL_PRIOR:g}, ± {100 * np.expm1(spread):.0f} %)" if label == "usual" else label
            lines.append(_row(f"{distance:g} m, {true:.2f} sides", name, f"{values['focal'] / crop.size:.2f} sides", *told))
    return "\n".join(lines)


def _refit(config: Config, layout: Layout, clip: str, identity: np.ndarray | None, noise: Noise | None = None) -> dict[str, float]:
    """The clip's errors against the truth after another fit, and its focal length in pixels of the crop."""
    rig, crop = Rig.load(layout.rig / "rig.npz"), Crop.load(layout.frames / f"{clip}.json")
    seen = Landmarks.load(layout.landmarks / f"{clip}.npz")
    pictures = [detail(frame) for frame in media.stream(layout.frames / f"{clip}.mkv")]
    track = fit(rig, seen, crop.size, config.fit, lambda: iter(pictures), identity=identity, noise=noise)
    return measure_truth(track, layout.truth / f"{clip}.npz", crop, rig.expression_names) | {"focal": float(track.focal)}


def speed_table(config: Config, layout: Layout) -> str:
    """CPU seconds of landmarks, parse and fit for a second of a looped clip, on one core, and the most memory; one process a length."""
    lines = [_row("clip", "CPU s per s: landmarks", "parse", "fit", "together", "most memory"), _row(*["---"] * 6)]
    with tempfile.TemporaryDirectory() as folder:
        for length in LENGTHS:
            told = _apart(_timed, config, layout, length, Path(folder))
            cells = [f"{told[stage]:.2f}" for stage in ("landmarks", "parse", "fit")]
            together = sum(told[stage] for stage in ("landmarks", "parse", "fit"))
            lines.append(_row(f"{length} s", *cells, f"**{together:.2f}**", f"{told['megabytes']:.0f} MB"))
    return "\n".join(lines)


def _apart(work: Callable[..., dict[str, float]], *args: object) -> dict[str, float]:
    """Run in a process of its own, so that the memory is its own."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def _timed(config: Config, layout: Layout, length: int, folder: Path) -> dict[str, float]:
    """CPU seconds a second of film of each stage, and the most memory in megabytes."""
    clip = f"{SOMEBODY}-{length}s"
    path = folder / f"{clip}.mkv"
    count = length * media.FPS

    def looped() -> Iterator[np.ndarray]:
        told = 0
        while told < count:
            for frame in media.stream(layout.frames / f"{SOMEBODY}.mkv"):
                if told < count:
                    yield frame
                    told += 1

    media.encode_lossless_stream(path, looped())
    crop = folder / f"{clip}.json"
    replace(Crop.load(layout.frames / f"{SOMEBODY}.json"), frames=count).save(crop)
    files = {"rig": layout.rig / "rig.npz", "frames": path, "landmarks": folder / f"{clip}.npz", "crop": crop}
    out = folder / clip
    out.mkdir()
    told = {}
    stages: dict[str, tuple[Work, object, Path]] = {
        "landmarks": (landmarks.track_clip, config.landmarks, folder),
        "parse": (parsing.parse_clip, config.parse, out),
        "fit": (fitting.fit_clip, config.fit, out),
    }
    for stage, (work, params, where) in stages.items():
        start = time.process_time()
        work(Job(clip, files, params), where)
        told[stage] = (time.process_time() - start) / length
    return told | {"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


TABLES = {"cast": cast_table, "identity": identity_table, "focal": focal_table, "speed": speed_table}


def main(names: Sequence[str]) -> None:
    """Make the named tables, print them and put each between its marks in the page."""
    config, rig = load_config(), Layout().rig
    layout = track_people(config, rig)
    for name in names or TABLES:
        table = TABLES[name](config, layout)
        print(f"\n{name}\n{table}", flush=True)
        fill(PAGE, name, table)


if __name__ == "__main__":
    main(sys.argv[1:])
