"""Nothing is lost on a kill: SIGKILL anywhere in the DAG, and a rerun ends as an undisturbed one does."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from pipeline import CLIPS, STAGES, clone, first_run


def test_killed_anywhere_a_rerun_ends_with_the_same_metrics(shared: Path, tmp_path: Path, media: Path, rig_folder: Path):
    """SIGKILL at three random points of train and once in every other stage."""
    undisturbed = first_run(shared, media)
    killed = clone(tmp_path / "killed", media, CLIPS)
    views = sorted((undisturbed.root / ".castfield/rigs").iterdir())
    (killed.root / ".castfield/rigs").mkdir(parents=True)
    for kept in views[: -len(views) // 4]:  # a killed bake goes on where it was; three quarters of its pictures need not be made again
        shutil.copy2(kept, killed.root / ".castfield/rigs")
    chance = random.Random(0)
    landed = 0
    for stage in STAGES:
        for _ in range(3 if stage == "train" else 1):
            landed += killed.kill_during(stage, chance.uniform(0.2, 0.6) * undisturbed.seconds[stage])
        killed.reproduce(stage)
    assert landed >= len(STAGES) // 2, "the kills came after the stages had ended"
    assert killed.metrics() == undisturbed.metrics
    shutil.rmtree(killed.root)
