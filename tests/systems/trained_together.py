"""python trained_together.py OUT PROCESSES KIND:FIELD:STEPS...: train made people in several processes -> OUT/KIND/model.pt, report.json

Each process leaves its number in OUT/processes/, as <rank>-<pid>, before it begins.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from made_scene import made_clip
from small import small_config

from castfield.config import Config, WorkConfig
from castfield.layout import Layout
from castfield.scratch import write_json
from castfield.systems import train
from castfield.training.distributed import leads, rank
from castfield.training.launch import together

CLIPS = [made_clip("a", 16, 24, seed=0), made_clip("b", 16, 24, seed=1), made_clip("c", 20, 24, seed=2)]


def config_for(field: str, steps: int) -> Config:
    """A small config of so many steps: six frames a step, so that one person's fall to both processes, and two threads to share."""
    config = small_config(field, threads=2)
    grid, mlp = replace(config.train.grid, steps=steps, steps_per_clip=0, frames=6), replace(config.train.mlp, steps=steps)
    return replace(config, train=replace(config.train, grid=grid, mlp=mlp))


def body(config: Config, layout: Layout) -> None:
    (layout.root / "processes").mkdir(parents=True, exist_ok=True)
    (layout.root / f"processes/{rank()}-{os.getpid()}").touch()
    for kind in sys.argv[3:]:
        name, field, steps = kind.split(":")
        os.environ["CASTFIELD_SCRATCH"] = str(layout.root / name / "scratch")
        _, report = train(config_for(field, int(steps)), CLIPS, layout.root / name if leads() else None)
        if leads():
            write_json(layout.root / name / "report.json", report)


if __name__ == "__main__":
    together(body)(Config(work=WorkConfig(training_processes=int(sys.argv[2]))), Layout(Path(sys.argv[1])))
