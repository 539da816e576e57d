"""People filmed at 512 px and more, learned at 256 px, each alone: how good, how soon."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from castfield import download, frames
from castfield.bench.trials import held_out_psnr, time_to, trial, with_train
from castfield.config import Config
from castfield.images import ClipImages, load_all_images
from castfield.layout import Layout
from castfield.mirror import find_in_mirror
from castfield.rigs import Rig
from castfield.systems.learn import steps_for
from castfield.tracking import fitting, landmarks, parsing

FILMS = {
    "aoc": "a85242c3fc4d50e2202cea393b9e7ee59019759b68e78e26a254d528c22615a7",
    "vr1": "60fb69b90af2edbcec762530bfab8be5be2753bca9f3f897005772b544313f94",
    "vr5": "f664ca850492bbe151898174f83e054ca90f7390696232a9935e10f88a31dfd4",
}
"""The footage (<name>.mp4) and its sha256. No manifest has it: it is looked for in the media mirror alone."""
SIZE, TARGET, SECONDS = 256, 28.0, 300.0
"""Side of the pictures; the PSNR in mid-speech that is to be reached, dB; when training is stopped."""
TRACKING = ("nme", "jitter_ratio", "lip_range", "lip_corr")
"""What is told of the tracks (`tracking/fit_metrics.py`)."""
STAGES = (download.run, frames.run, landmarks.run, parsing.run, fitting.run)


def hd(bench: Any) -> dict[str, Any]:
    """Clips of 512 px: how well they are tracked; at 256 px, PSNR in mid-speech after training, and the seconds to 28 dB."""
    films = {name: film for name, digest in FILMS.items() if (film := find_in_mirror([f"{name}.mp4"], digest))}
    if not films:
        print(f"bench: hd: left out: {', '.join(FILMS)} (.mp4) are in no media mirror (CASTFIELD_MEDIA=<folder>)", flush=True)
        return {}
    with tempfile.TemporaryDirectory() as folder:
        layout = tracked(films, bench.config, bench.layout.rig, Layout(Path(folder)))
        tracks = json.loads((layout.metrics / "tracking.json").read_text())["clips"]
        clips = load_all_images(layout, SIZE)
    found = {clip.clip: tracks[clip.clip] | _learned(with_train(bench.config, size=SIZE), clip, bench.rig) for clip in clips}
    return {f"hd_{name}": {clip: figures[name] for clip, figures in found.items()} for name in ("psnr_speech", "seconds", *TRACKING)}


def _learned(config: Config, clip: ClipImages, rig: Rig | None) -> dict[str, float | None]:
    """PSNR at the end, dB, and seconds to TARGET."""

    def score(model: Any) -> float:
        return held_out_psnr(model, [clip])

    marks = list(np.geomspace(1, SECONDS, 40))
    found = trial(config, [clip], rig, steps_for(config, 1), title=f"{clip.clip} at {SIZE} px", marks=marks, score=score, seconds=SECONDS)
    reached = score(found.model)
    seconds = time_to([*found.curve, (found.seconds, reached)], TARGET)
    return {"psnr_speech": round(reached, 3), "seconds": round(seconds, 2) if seconds else None}


def tracked(films: Mapping[str, Path], config: Config, rig: Path, layout: Layout) -> Layout:
    """Take films through the stages up to the fit, below another root; what the scratch folder has of them is not done again."""
    about = {"title": "films", "license": "for measuring only", "clips": [{"name": n, "path": str(film)} for n, film in films.items()]}
    manifest = layout.manifest("films")
    manifest.parent.mkdir(parents=True)
    manifest.write_text(yaml.safe_dump(about))
    layout.rig.symlink_to(rig.resolve())
    for run in STAGES:
        run(replace(config, dataset="films"), layout)
    return layout
