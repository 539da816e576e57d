"""python -m castfield.tracking_study [cast] [identity] [focal] [speed]

How good the track is, on the cast (six people, 10 s each), and what it costs: the tables of `docs/tracking.md`, all or the ones named.
Needs the stage `rig`; `speed` by itself the demo's `frames` besides, and nothing is filmed for it. What is filmed and tracked is kept in
the scratch folder; figures of the cast also go to `metrics/tracking_cast.json`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from castfield import cast, frames, media
from castfield.cast import filming, performance
from castfield.clip import Crop, Landmarks
from castfield.config import Config, load_config
from castfield.documents import fill
from castfield.errors import CastfieldError
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
LENGTHS = 10, 300
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
    """CPU seconds for a second of a looped clip, on one core, and the most memory; a process of its own for each stage and length."""
    lines = [_row("clip", *(f"{stage}: CPU s per s, memory" for stage in STAGES), "together"), _row(*["---"] * (len(STAGES) + 2))]
    with tempfile.TemporaryDirectory() as folder:
        for length in LENGTHS:
            files = _looped(layout, length, Path(folder))
            told = [_apart(_timed, stage, getattr(config, stage), files, length) for stage in STAGES]
            cells = [f"{seconds:.2f}, {megabytes:.0f} MB" for seconds, megabytes in told]
            lines.append(_row(f"{length} s", *cells, f"**{sum(seconds for seconds, _ in told):.2f}**"))
    return "\n".join(lines)


def _looped(layout: Layout, length: int, folder: Path) -> dict[str, Path]:
    """SOMEBODY's clip repeated until it lasts `length` seconds: what the stages read, and will read of each other, by role."""
    clip, source = folder / f"{SOMEBODY}-{length}s", layout.frames / SOMEBODY
    if not source.with_suffix(".mkv").exists():
        raise CastfieldError("the demo's footage is not here", expected=source.with_suffix(".mkv"), cure="dvc repro frames")
    frames, crop = clip.with_suffix(".mkv"), clip.with_suffix(".json")
    count = length * media.FPS
    command = [media.ffmpeg_exe(), "-v", "error", "-stream_loop", "-1", "-i", f"{source}.mkv", "-c", "copy", "-frames:v", str(count)]
    subprocess.run([*command, str(frames)], check=True)
    replace(Crop.load(source.with_suffix(".json")), frames=count).save(crop)
    return {"rig": layout.rig / "rig.npz", "frames": frames, "landmarks": clip.with_suffix(".npz"), "crop": crop}


def _apart(work: Callable[..., tuple[float, float]], *args: object) -> tuple[float, float]:
    """Run in a process of its own, so that the memory is its own."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def _timed(stage: str, params: object, files: dict[str, Path], length: int) -> tuple[float, float]:
    """CPU seconds a second of film, ffmpeg's among them, and the most memory in megabytes."""
    clip = files["frames"].stem
    out = files["landmarks"].parent if stage == "landmarks" else Path(tempfile.mkdtemp(dir=files["frames"].parent))
    before = _cpu_seconds()
    STAGES[stage](Job(clip, files, params), out)
    return (_cpu_seconds() - before) / length, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu_seconds() -> float:
    """Of this process and of those that it started and saw end."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


STAGES: dict[str, Work] = {"landmarks": landmarks.track_clip, "parse": parsing.parse_clip, "fit": fitting.fit_clip}
TABLES = {"cast": cast_table, "identity": identity_table, "focal": focal_table, "speed": speed_table}


def main(names: Sequence[str]) -> None:
    """Make the named tables, print them and put each between its marks in the page."""
    for name in set(names) - set(TABLES):
        raise CastfieldError("there is no such table", expected=", ".join(TABLES), found=name)
    config, rig = load_config(), Layout().rig
    layout = Layout() if list(names) == ["speed"] else track_people(config, rig)
    for name in names or TABLES:
        table = TABLES[name](config, layout)
        print(f"\n{name}\n{table}", flush=True)
        fill(PAGE, name, table)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CastfieldError as error:
        sys.exit(str(error))
