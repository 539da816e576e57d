"""python -m castfield.ablation: every interaction module at equal training time (MI-NeRF, Table 1) -> docs/ablation.md

Wants the tracks of a data set (`dvc exp run -S dataset=grid fit`). The field is the one on which the comparison means
something: `train.identity=conditioning`, where identity can enter only through the module. Each row is trained for the
same number of steps, renders all ordered pairs and is measured by the stage `evaluate`'s own code. Everything is cached
in the scratch folder: a killed run goes on, a second one is free.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from castfield.config import Config, Module, load_config
from castfield.documents import fill
from castfield.evaluation import evaluate
from castfield.images import load_all_images
from castfield.layout import Layout
from castfield.manifest import load_manifest
from castfield.rigs import load_rig
from castfield.scratch import fingerprint, scratch, write_json
from castfield.systems import load_model, train
from castfield.systems.learn import fingerprint_parts, learning_config
from castfield.tasks.render import plan, render_task

PAGE = Path("docs/ablation.md")


@dataclass(frozen=True)
class Row:
    """One line of the table: a module, and what differs from its defaults."""

    label: str
    module: Module
    train: tuple[tuple[str, Any], ...] = ()
    seeds: tuple[int, ...] = (0,)


_VARIANTS: tuple[Module, ...] = ("A1", "A2", "A3", "A4", "A5", "A6", "A7")
ROWS = (
    Row("`baseline`", "baseline", seeds=(0, 1, 2)),
    *(Row(f"`{name}`", name) for name in _VARIANTS),
    Row("`M`, no latent codes", "M", (("latent", False),)),
    Row("`M`, k = 32", "M", (("k", 32),)),
    Row("`H`, N = 3", "H", (("N", 3),)),
    Row("`H`, N = 4", "H", (("N", 4),)),
    Row("**`M`** (k = 8)", "M", seeds=(0, 1, 2)),
    Row("**`H`** (N = 2)", "H", seeds=(0, 1, 2)),
    Row("`M`, o = 256", "M", (("o", 256),)),
    Row("`concat`", "concat"),
    Row("`M_latent`", "M_latent"),
)
COLUMNS = {
    "acd": "ACD ↓",
    "mouth_corr": "mouth corr. ↑",
    "blink_corr": "blink corr. ↑",
    "pose_err": "pose err. ↓ (deg)",
    "train_psnr": "train PSNR ↑ (dB)",
    "same_nearest": "same man nearest ↑",
    "module_parameters": "module parameters",
    "cpu_seconds": "training CPU s",
}
DIGITS = {
    "acd": 3,
    "mouth_corr": 2,
    "blink_corr": 2,
    "pose_err": 2,
    "train_psnr": 2,
    "same_nearest": 2,
    "module_parameters": 0,
    "cpu_seconds": 0,
}


def configured(config: Config, row: Row, seed: int, steps: int) -> Config:
    """The configuration of one row and seed. The excerpt is the middle of a GRID sentence: before it the speakers are silent."""
    grid = replace(config.train.grid, steps=steps, steps_per_clip=0)
    training = replace(config.train, field="grid", identity="conditioning", grid=grid, **dict(row.train))
    render = replace(config.render, max_pairs=0, start_seconds=0.8, max_seconds=1.2, shown_size=64)
    scored = replace(config.evaluate, faces_per_clip=2)
    return replace(config, module=row.module, seed=seed, train=training, render=render, evaluate=scored)


def measure(config: Config, layout: Layout) -> dict[str, float]:
    """Train one model, render transfer over all ordered pairs, measure it. Other excerpts or metrics do not train anew."""
    images = load_all_images(layout, config.train.size)
    home = scratch("ablation", fingerprint(config.module, config.seed, learning_config(config), *fingerprint_parts(images)), "train.json")
    persons = {source.name: source.person or source.name for source in load_manifest(layout.manifest(config.dataset)).clips}
    kept = scratch("ablation", home.parent.name, fingerprint(config.render, config.evaluate), "figures.json")
    if not kept.exists():
        own = Layout(kept.parent)
        for stage in ("rig", "frames", "speech", "landmarks", "masks", "tracks"):
            link = own.root / "data" / stage
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(getattr(layout, stage).resolve())
        if not home.exists():
            _, report = train(config, images, home.parent, rig=load_rig(layout.rig), title=f"{config.module} seed {config.seed}")
            report.pop("curve")
            write_json(home, report)
        for source, target in ((home.parent / "model.pt", own.generic / "model.pt"), (home, own.metrics / "train.json")):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        render_task("transfer", plan(config, own)["transfer"], config, own)
        evaluate.run(config, own)
        scores = json.loads((own.metrics / "metrics.json").read_text())["transfer"] | json.loads(home.read_text())
        write_json(kept, {name: scores[name] for name in COLUMNS if name in scores})
    model = load_model(home.parent)
    return json.loads(kept.read_text()) | same_person_nearest(model.identity_codes, [persons.get(clip, clip) for clip in model.clips])


def same_person_nearest(codes: np.ndarray, persons: Sequence[str]) -> dict[str, float]:
    """Of the clips whose person is in another clip too, the share whose nearest identity code (N, d) is that person's."""
    distance = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    twice = [at for at, person in enumerate(persons) if list(persons).count(person) > 1]
    return {"same_nearest": float(np.mean([persons[distance[at].argmin()] == persons[at] for at in twice]))} if twice else {}


def table(results: Sequence[tuple[Row, list[dict[str, float]]]]) -> str:
    """The rows as Markdown: the mean over the seeds, with the sample standard deviation where there are several."""
    lines = ["| module | " + " | ".join(COLUMNS.values()) + " | seeds |", "|---" * (len(COLUMNS) + 2) + "|"]
    for row, runs in results:
        cells = []
        for name in COLUMNS:
            values = [run[name] for run in runs if name in run]
            text = f"{mean(values):.{DIGITS[name]}f}" if values else ""
            spread = name in ("acd", "mouth_corr", "blink_corr", "pose_err", "train_psnr") and len(values) > 1
            cells.append(text + (f" ± {stdev(values):.{DIGITS[name]}f}" if spread else ""))
        lines.append(f"| {row.label} | " + " | ".join(cells) + f" | {len(runs)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all rows, printing the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1200, help="optimiser steps of every row")
    arguments = parser.parse_args()
    config, layout = load_config(), Layout()
    results: list[tuple[Row, list[dict[str, float]]]] = []
    for row in ROWS:
        results.append((row, [measure(configured(config, row, seed, arguments.steps), layout) for seed in row.seeds]))
        print(table(results), flush=True)
    fill(PAGE, "modules", table(results))
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
