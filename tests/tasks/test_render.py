"""The render stage on a small made project: files, index, sound, caching."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import MADE_PEOPLE as PEOPLE
from made_project import CONFIG, SIZE

from castfield import media
from castfield.config import RenderConfig
from castfield.images import load_images
from castfield.layout import Layout
from castfield.scratch import sha256
from castfield.shards import Job
from castfield.tasks.poses import mean_rotation
from castfield.tasks.render import Drive, drive_of, frame_split, index_of, open_model, ordered_pairs, plan, render_all, rendered


@pytest.fixture
def project(rendered_project) -> Layout:
    return rendered_project


def index(layout: Layout, task: str) -> dict[str, dict]:
    return {e["name"]: e for e in json.loads((layout.renders / task / "index.json").read_text())["entries"]}


def test_every_pair_and_every_person_is_there(project):
    assert set(index(project, "reconstruction")) == set(PEOPLE) == set(index(project, "novel_view"))
    assert set(index(project, "transfer")) == {f"{a}__{b}" for a in PEOPLE for b in PEOPLE if a != b}
    assert set(index(project, "personal_seen")) == {"ann"}
    assert not (project.renders / "personal_unseen").exists()
    for task in ("reconstruction", "transfer", "novel_view", "personal_seen"):
        for entry in index(project, task).values():
            frames = media.decode(project.renders / task / entry["video"])
            assert frames.shape == (len(entry["frames"]), SIZE, SIZE, 3)
            assert len(entry["frames"]) == len(entry["split"]) == PEOPLE[entry["driver"]]


def test_held_out_frames_are_marked(project):
    split = index(project, "reconstruction")["ann"]["split"]
    assert split[-2:] == ["end", "end"]
    assert split[9:11] == ["speech", "speech"]
    assert split[1] == "other"  # no valid track there
    assert split.count("train") == 15
    assert set(index(project, "transfer")["ann__bob"]["split"]) == {"other"}
    shown = media.decode(project.renders / "reconstruction/ann.mp4")
    amber, grey = shown[0, -3, -20].astype(int), shown[0, -3, 60].astype(int)
    assert amber[0] > amber[2] + 80  # the last tenth of the bar
    assert abs(grey[0] - grey[2]) < 60


def test_only_what_a_personal_model_learned_from_counts_as_train(project):
    split = index(project, "personal_seen")["ann"]["split"]
    assert [i for i, s in enumerate(split) if s == "train"] == open_model(project.personal / "seen").frames["ann"].tolist()


def test_videos_for_people_open_with_sound_and_even_sides(project):
    for path in sorted(project.renders.rglob("*.mp4")):
        header = media.probe(path)
        assert header.width % 2 == 0
        assert header.height % 2 == 0
        assert header.fps == media.FPS
        done = subprocess.run([media.ffmpeg_exe(), "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        if path.parent.name != "grid":
            driver = path.stem.rpartition("__")[2]
            assert header.seconds == pytest.approx(PEOPLE[driver] / media.FPS, abs=0.02)
            assert header.has_sound == (driver != "cat")  # the silent one
        text = subprocess.run([media.ffmpeg_exe(), "-hide_banner", "-i", str(path)], capture_output=True, text=True).stderr
        assert "Synthetic video made by Castfield" in text


def test_the_render_is_the_model_s_and_shows_the_background_around_it(project):
    model, ann = open_model(project.generic), load_images(project, "ann", SIZE)
    entry = plan(CONFIG, project)["reconstruction"][0]
    frames = np.stack(list(rendered(model, "ann", drive_of(entry, ann, ann), ann.focal)))
    stored = media.decode(project.renders / "reconstruction/ann.mkv")
    assert (frames == stored).all()
    assert (stored[:, :2, :2] == ann.background[:, :2, :2]).all()
    error = ((stored.astype(float) - ann.frames) ** 2).mean()
    assert error < ((ann.background.astype(float) - ann.frames) ** 2).mean() / 2


def test_transfer_asks_for_the_driver_s_expressions_in_the_identity_s_place(project):
    entry = next(e for e in plan(CONFIG, project)["transfer"] if e.name == "bob__ann")
    bob, ann = load_images(project, "bob", SIZE), load_images(project, "ann", SIZE)
    drive = drive_of(entry, bob, ann)
    assert (drive.expression == ann.track.expression).all()
    assert drive.behind.max() < len(bob) < len(drive.behind)
    assert drive.background is bob.background
    kept = ann.track.valid
    assert np.allclose(mean_rotation(drive.rotation[kept]), mean_rotation(bob.track.rotation[bob.track.valid]), atol=1e-5)
    short = replace(entry, render=RenderConfig(max_seconds=0.2))
    assert len(drive_of(short, bob, ann).expression) == 5
    late = drive_of(replace(entry, render=RenderConfig(start_seconds=0.2, max_seconds=0.2)), bob, ann)
    for name in ("expression", "rotation", "translation"):
        assert (getattr(late, name) == getattr(drive, name)[5:10]).all()
    assert index_of(replace(entry, render=RenderConfig(start_seconds=0.2, max_seconds=0.2)), 20, np.arange(0))["frames"] == [5, 6, 7, 8, 9]
    assert len(drive_of(replace(entry, render=RenderConfig(start_seconds=99.0)), bob, ann).expression) == 1


def test_chunks_do_not_show(project, monkeypatch):
    model, ann = open_model(project.generic), load_images(project, "ann", SIZE)
    track = ann.track
    drive = Drive(track.expression, track.rotation, track.translation, ann.background, np.arange(len(ann)))
    whole = np.stack(list(rendered(model, "ann", drive, ann.focal)))
    monkeypatch.setattr("castfield.tasks.render.CHUNK", 7)
    assert (np.stack(list(rendered(model, "ann", drive, ann.focal))) == whole).all()


def test_a_second_run_renders_nothing_and_writes_the_same_bytes(project, capsys):
    before = {p: sha256(p) for p in sorted(project.renders.rglob("*")) if p.is_file()}
    (project.renders / "personal_unseen").mkdir()  # of an earlier run
    render_all(CONFIG, project)
    printed = capsys.readouterr().out
    assert printed.count(" 0 to do") == 5
    assert {p: sha256(p) for p in sorted(project.renders.rglob("*")) if p.is_file()} == before


def test_pairs_are_all_or_a_balanced_seeded_sample():
    assert ordered_pairs(["b", "a"], 0, 0) == [("a", "b"), ("b", "a")]
    names = [f"p{i}" for i in range(7)]
    assert len(ordered_pairs(names, 42, 0)) == 42
    sample = ordered_pairs(names, 20, 3)
    assert sample == ordered_pairs(names[::-1], 20, 3) != ordered_pairs(names, 20, 4)
    assert len(set(sample)) == 20
    assert all(a != b for a, b in sample)
    for side in (0, 1):
        counts = [sum(pair[side] == n for pair in sample) for n in names]
        assert max(counts) - min(counts) <= 1


def test_frame_split_calls_unlearned_frames_other():
    assert frame_split(10, np.array([0, 1])) == ["train", "train", "other", "other", "speech", *["other"] * 4, "end"]


def test_the_job_names_every_file_it_reads(project):
    from castfield.tasks.render import job_of

    job: Job = job_of(next(e for e in plan(CONFIG, project)["transfer"] if e.name == "bob__ann"))
    assert {p.relative_to(project.root) for p in job.inputs.values()} >= {
        Path("data/models/generic/model.pt"), Path("data/frames/bob.mkv"), Path("data/masks/bob.mkv"), Path("data/masks/bob.png"),
        Path("data/tracks/bob.npz"), Path("data/tracks/ann.npz"), Path("data/speech/ann.wav"), Path("data/frames/ann.mkv"),
    }  # fmt: skip


def test_a_parameter_renders_anew_only_what_depends_on_it(project):
    def entries(**changes):
        tasks = plan(replace(CONFIG, render=replace(CONFIG.render, **changes)), project)
        return {task: [e for e in entries] for task, entries in tasks.items()}

    before = entries()
    assert entries(max_pairs=2, grid_people=1) == before | {"transfer": entries(max_pairs=2)["transfer"]}
    assert set(entries(max_pairs=2)["transfer"]) < set(before["transfer"])
    for changes, task in (({"max_seconds": 0.2}, {"transfer", "novel_view"}), ({"swing_degrees": 5.0}, {"novel_view"})):
        after = entries(**changes)
        assert {name for name in before if after[name] != before[name]} == task
