"""A person filmed at 512 px and learned at 256 px: how good, how soon."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from castfield import download, frames
from castfield.bench.trials import held_out_psnr, time_to, trial, with_train
from castfield.config import Config
from castfield.images import load_all_images
from castfield.layout import Layout
from castfield.mirror import find_in_mirror
from castfield.systems.learn import steps_for
from castfield.tracking import fitting, landmarks, parsing

FILM, DIGEST = "aoc.mp4", "a85242c3fc4d50e2202cea393b9e7ee59019759b68e78e26a254d528c22615a7"
"""The footage and its sha256: a clip that no address is known of, so that it is looked for in the media mirror alone."""
SIZE, TARGET, SECONDS = 256, 28.0, 300.0
"""Side of the pictures; the PSNR in mid-speech that is to be reached, dB; when training is stopped."""
STAGES = (download.run, frames.run, landmarks.run, parsing.run, fitting.run)


def hd(bench: Any) -> dict[str, Any]:
    """A clip of 512 px at 256 px: PSNR in mid-speech after training, for 5 minutes at most, and the seconds to 28 dB."""
    film = find_in_mirror([FILM], DIGEST)
    if film is None:
        print(f"bench: hd: left out: {FILM} is in no media mirror (CASTFIELD_MEDIA=<folder>)", flush=True)
        return {}
    with tempfile.TemporaryDirectory() as folder:
        clips = load_all_images(tracked(film, bench.config, bench.layout.rig, Layout(Path(folder))), SIZE)
    config = with_train(bench.config, size=SIZE)

    def score(model: Any) -> float:
        return held_out_psnr(model, clips)

    found = trial(
        config, clips, bench.rig, steps_for(config, len(clips)), title="256 px", marks=list(np.geomspace(1, SECONDS, 40)), score=score,
        seconds=SECONDS,
    )  # fmt: skip
    reached = score(found.model)
    seconds = time_to([*found.curve, (found.seconds, reached)], TARGET)
    return {
        "hd_psnr_speech": round(reached, 3),
        "hd_training_seconds": round(found.seconds, 1),
        "hd_seconds": round(seconds, 2) if seconds else None,
    }


def tracked(film: Path, config: Config, rig: Path, layout: Layout) -> Layout:
    """Take a film through the stages up to the fit, below another root; what the scratch folder has of it is not done again."""
    about = {"title": film.stem, "license": "for measuring only", "clips": [{"name": film.stem, "path": str(film)}]}
    manifest = layout.manifest("film")
    manifest.parent.mkdir(parents=True)
    manifest.write_text(yaml.safe_dump(about))
    layout.rig.symlink_to(rig.resolve())
    for run in STAGES:
        run(replace(config, dataset="film"), layout)
    return layout
