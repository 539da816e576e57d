"""The main job as a user does it: `dvc exp run`, `dvc metrics diff`, a new clip."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pipeline import CLIPS, STAGES, Project, first_run, write_manifest


@pytest.fixture(scope="module")
def project(shared: Path, media: Path, rig_folder: Path) -> Project:
    """A clone in which every stage has run once, committed."""
    first = first_run(shared, media)
    return Project(first.root, first.env, first.seconds)


def ran(output: str) -> list[str]:
    """Stages that DVC ran, in order, from its log."""
    return re.findall(r"Running stage '(\w+)'", output)


def test_every_task_has_finite_metrics_and_the_copy_baseline(project: Project):
    metrics = project.metrics()
    assert set(metrics) >= {"reconstruction", "transfer", "personal_seen", "personal_unseen"}
    assert {"psnr", "psnr_speech", "copy_psnr", "copy_psnr_speech", "psnr_aligned", "ssim", "mouth_corr"} <= set(metrics["reconstruction"])
    assert {"acd", "mouth_corr"} <= set(metrics["transfer"])
    assert all(isinstance(v, int | float) and v == v for task in metrics.values() for v in task.values())


def test_tracking_says_how_fast_it_was_and_which_clip_is_the_worst(project: Project):
    tracking = json.loads((project.root / "metrics/tracking.json").read_text())
    assert tracking["realtime_ratio"] > 0
    assert tracking["nme_max"] == max(clip["nme"] for clip in tracking["clips"].values()) < tracking["nme_worst"]


def test_second_repro_does_nothing(project: Project):
    assert ran(project.dvc("repro")) == []


def test_module_reruns_train_and_what_follows_and_metrics_diff_shows_it(project: Project):
    # One worker: no pool need begin for every task, and no stage depends on it.
    output = project.dvc("exp", "run", "-S", "module=H", "-S", "work.workers=1")
    assert ran(output) == STAGES[STAGES.index("train") :]
    diff = project.dvc("metrics", "diff")
    for task in ("reconstruction.psnr", "transfer.acd"):
        assert task in diff, diff
    project.run("git", "checkout", "-q", ".")
    project.dvc("checkout", "--force")


def test_a_new_clip_costs_one_clip_in_every_preprocessing_stage(project: Project):
    write_manifest(project.root, [*CLIPS, "lbax4n"])
    try:
        output = project.dvc("repro", "fit", "audio")
        for stage in ("download", "frames", "landmarks", "parse", "fit", "audio"):
            assert f"{stage}: 3 clips, 2 unchanged (cached), 1 to do" in output, output
    finally:
        project.run("git", "checkout", "-q", ".")
        project.dvc("checkout", "--force")


def test_misspelt_parameter_and_module_are_refused_before_anything_runs(project: Project):
    assert "modul" in project.dvc("exp", "run", "-S", "modul=H", check=False)
    assert ran(project.dvc("repro")) == []
    output = project.dvc("exp", "run", "-S", "module=HH", check=False)
    assert "no such choice 'HH'" in output
    assert "did you mean" in output
    assert "H" in output
    project.run("git", "checkout", "-q", ".")
    assert ran(project.dvc("repro")) == []
