"""The whole stage on short real footage whose renders are made by the test: perfect ones, wrong people, shifted pictures."""

import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from castfield import media as video
from castfield.clip import Track, split_frames
from castfield.config import Config, EvaluateConfig, WorkConfig
from castfield.errors import ClipError, WeightsError
from castfield.evaluation import evaluate, expression
from castfield.evaluation.entries import load_entries
from castfield.evaluation.lpips import ALEXNET
from castfield.evaluation.syncnet import SyncNet
from castfield.evaluation.tracked import track
from castfield.images import resize
from castfield.layout import Layout

FRAMES, SIZE = 26, 128
CONFIG = Config(work=WorkConfig(runner="inline"), evaluate=EvaluateConfig(faces_per_clip=2))


@pytest.fixture(scope="module")
def project(media: Path, tmp_path_factory):
    """Two people of GRID with masks and tracks made from their landmarks; perfect renders and one transfer."""
    layout = Layout(tmp_path_factory.mktemp("project"))
    frames = {}
    for clip in ("bbaf2n", "lwbsza"):
        source = video.decode(media / "grid" / f"{clip}.mpg", filters="crop=240:240:60:20,scale=256:256")[20 : 20 + FRAMES]
        frames[clip] = prepare(layout, clip, source)
    # The sound of one person; the other is silent.
    rate = np.sin(np.arange(FRAMES * 640) / 9) * np.random.default_rng(0).random(FRAMES * 640)
    write_wav(layout.speech / "bbaf2n.wav", rate)
    render(layout, "reconstruction", [(clip, clip, frames[clip]) for clip in frames])
    render(layout, "transfer", [("bbaf2n", "lwbsza", frames["lwbsza"])])
    return layout


def prepare(layout, clip, source):
    """Write frames, masks, plate and track; the frames at the renders' size."""
    from PIL import Image

    found = track(source)
    boxes = found.bridged()
    y, x = np.mgrid[:256, :256]
    centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * 0.7
    head = np.stack([((x - c[0]) / s[0]) ** 2 + ((y - c[1]) / s[1]) ** 2 < 1 for c, s in zip(centre, side, strict=True)])
    masks = np.stack([head, np.zeros_like(head), ~head], -1).astype(np.uint8) * 255
    video.encode_lossless(layout.frames / f"{clip}.mkv", source)
    video.encode_lossless(layout.masks / f"{clip}.mkv", masks)
    Image.fromarray(np.full((256, 256, 4), 255, np.uint8)).save(layout.masks / f"{clip}.png")
    points = found.points[:, expression.RIGID]
    shape = points[0] - points[0].mean(0)
    rotation = expression.head_rotation(found.points, shape / np.linalg.norm(shape, axis=1).mean())
    ones = np.ones(FRAMES, bool)
    nothing, place = np.zeros((FRAMES, 52), np.float32), np.ones((FRAMES, 3), np.float32)
    fit = Track(np.zeros(4, np.float32), nothing, rotation.astype(np.float32), place, 400.0, 256, ones, found.points[..., :2])
    fit.save(layout.tracks / f"{clip}.npz")
    return np.stack([resize(f, SIZE) for f in source])


def write_wav(path, sound):
    import wave

    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(16000)
        stream.writeframes((sound * 8000).astype("<i2").tobytes())


def render(layout, task, rows):
    split = split_frames(FRAMES)
    names = np.full(FRAMES, "train", dtype=object)
    names[split.end], names[split.speech] = "end", "speech"
    entries = []
    for identity, driver, frames in rows:
        name = identity if identity == driver else f"{identity}__{driver}"
        video.encode_lossless(layout.renders / task / f"{name}.mkv", frames)
        entry = {"name": name, "identity": identity, "driver": driver, "video": f"{name}.mkv"}
        entries.append({**entry, "frames": list(range(FRAMES)), "split": list(names)})
    (layout.renders / task / "index.json").write_text(json.dumps({"entries": entries}))


def no_weights(name):
    raise WeightsError(f"the weights '{name}' are not here", cure=f"python -m castfield.weights {name}")


def results(layout):
    read = {p.name: p.read_text() for p in sorted(layout.metrics.iterdir())}
    return json.loads(read["metrics.json"]), json.loads(read["notes.json"]), read


@pytest.fixture(scope="module")
def perfect(project):
    """What the stage says of the perfect renders, on a machine without weights."""
    patch = pytest.MonkeyPatch()
    patch.setattr(evaluate.weights, "find", no_weights)
    (project.metrics).mkdir(exist_ok=True)
    (project.metrics / "train.json").write_text(json.dumps({"parameters": 1234, "seconds": 3.5}))
    evaluate.run(CONFIG, project)
    patch.undo()
    return results(project)


def test_a_perfect_render_has_perfect_figures(perfect):
    found = perfect[0]["reconstruction"]
    for name in ("psnr", "psnr_speech", "psnr_aligned", "psnr_aligned_speech", "psnr_train"):
        assert found[name] == 100
    for name in ("ssim", "ssim_speech", "mouth_corr", "blink_corr"):
        assert found[name] == pytest.approx(1, abs=1e-3)
    assert found["lmd"] == found["lmd_speech"] == pytest.approx(0, abs=1e-3)
    assert found["acd"] < 0.03
    assert found["pose_err"] == found["pose_err_real"] < 5
    assert found["blinks_per_s"] == found["blinks_per_s_real"]


def test_the_copy_baseline_stands_beside(perfect):
    found = perfect[0]["reconstruction"]
    assert 20 < found["copy_psnr"] < 60
    assert 0.5 < found["copy_ssim"] < found["ssim"]
    assert {"copy_psnr_speech", "copy_ssim_speech"} <= set(found)


def test_the_wrong_person_is_told_by_acd_and_the_right_motion_by_the_mouth(perfect):
    found = perfect[0]["transfer"]
    assert found["acd"] == pytest.approx(found["acd_others"], abs=0.01)
    assert found["acd"] > 0.08 > 0.03 > found["acd_real"]
    assert found["mouth_corr"] == pytest.approx(1, abs=1e-3)
    assert found["pose_err"] < 5
    assert "psnr" not in found


def test_what_is_absent_is_left_out_and_explained(perfect):
    metrics, notes, read = perfect
    names = set().union(*metrics.values())
    assert not {"lpips", "copy_lpips", "lse_d", "lse_c"} & names
    assert set(notes["absent"]) == {"lpips", "copy_lpips", "lse_d", "lse_c"}
    assert "python -m castfield.weights alexnet" in notes["absent"]["lpips"]
    assert names == set(notes["recipes"])
    assert all(notes["recipes"].values())
    assert notes["pairs"] == [["bbaf2n", "lwbsza"]]
    assert all(math.isfinite(v) for task in metrics.values() for v in task.values())
    assert "NaN" not in "".join(read.values())
    assert metrics["model"] == {"parameters": 1234}


def test_each_video_has_its_row(perfect):
    rows = perfect[2]["per_clip.csv"].splitlines()
    assert rows[0].startswith("task,name,identity,driver,")
    assert [r.split(",")[:2] for r in rows[1:]] == [
        ["reconstruction", "bbaf2n"],
        ["reconstruction", "lwbsza"],
        ["transfer", "bbaf2n__lwbsza"],
    ]


def test_a_second_run_repeats_every_byte_without_its_cache(project, perfect, tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path))
    monkeypatch.setattr(evaluate.weights, "find", no_weights)
    evaluate.run(CONFIG, project)
    assert results(project)[2] == perfect[2]


def test_with_weights_lpips_and_lse_stand_in_the_json(project, tmp_path, monkeypatch):
    torch.manual_seed(0)
    shapes = {f"features.{i}": (b, a, k) for i, a, b, k, *_ in ALEXNET}
    alexnet = {f"{n}.weight": torch.randn(b, a, k, k) * (2 / (a * k * k)) ** 0.5 for n, (b, a, k) in shapes.items()}
    torch.save(alexnet | {f"{n}.bias": torch.zeros(b) for n, (b, *_) in shapes.items()}, tmp_path / "alexnet.pth")
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.pth")
    monkeypatch.setattr(evaluate.weights, "find", lambda name: tmp_path / f"{name}.pth")
    one = short(project, tmp_path / "project", ["bbaf2n"])
    evaluate.run(CONFIG, one)
    metrics, notes, _ = results(one)
    found = metrics["reconstruction"]
    assert found["lpips"] == found["lpips_speech"] == 0 < found["copy_lpips"]
    assert found["lse_d"] == pytest.approx(found["lse_d_real"], rel=1e-3)
    assert "lse_c" in found
    assert notes["absent"] == {}


def test_a_silent_clip_only_lacks_the_speech_metrics(project, tmp_path, monkeypatch):
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.pth")
    monkeypatch.setattr(evaluate.weights, "find", lambda name: tmp_path / f"{name}.pth" if name == "syncnet_v2" else no_weights(name))
    one = short(project, tmp_path / "project", ["lwbsza"])
    evaluate.run(CONFIG, one)
    metrics, notes, _ = results(one)
    assert "lse_d" not in metrics["reconstruction"]
    assert "psnr" in metrics["reconstruction"]
    assert "no sound" in notes["absent"]["lse_d"]
    assert "lwbsza" in notes["absent"]["lse_d"]


def test_a_render_of_another_length_is_left_out_by_name(project, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.weights, "find", no_weights)
    layout = short(project, tmp_path / "project", ["bbaf2n", "lwbsza"])
    cut = video.decode(layout.renders / "reconstruction/bbaf2n.mkv")[:-3]
    video.encode_lossless(layout.renders / "reconstruction/bbaf2n.mkv", cut)
    evaluate.run(replace(CONFIG, work=WorkConfig(runner="inline", max_failed=0.6)), layout)
    metrics, notes, _ = results(layout)
    assert list(notes["failed"]) == ["reconstruction-bbaf2n"]
    assert "another length" in notes["failed"]["reconstruction-bbaf2n"]
    assert metrics["reconstruction"]["psnr"] == 100


def test_a_render_without_a_face_is_counted_and_not_dropped(project, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.weights, "find", no_weights)
    layout = short(project, tmp_path / "project", ["bbaf2n"])
    video.encode_lossless(layout.renders / "reconstruction/bbaf2n.mkv", np.full((FRAMES, SIZE, SIZE, 3), 90, np.uint8))
    evaluate.run(CONFIG, layout)
    found = results(layout)[0]["reconstruction"]
    assert found["acd_frames_without_face"] == found["acd_frames"] == 2
    assert found["frames_without_landmarks"] == FRAMES
    assert not {"acd", "mouth_corr", "blink_corr", "lmd", "pose_err"} & set(found)
    assert found["psnr"] < 20


def short(project, root, clips):
    """A project with the reconstructions of these clips only."""
    shutil.copytree(project.root, root, copy_function=os.link, ignore=shutil.ignore_patterns("metrics", "transfer"))
    layout = Layout(root)
    index = layout.renders / "reconstruction/index.json"
    kept = [e for e in json.loads(index.read_text())["entries"] if e["name"] in clips]
    index.unlink()
    index.write_text(json.dumps({"entries": kept}))
    for entry in kept:  # a file of its own, so that a test may change it
        path = layout.renders / "reconstruction" / entry["video"]
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    return layout


def write_index(layout, entry):
    path = layout.renders / "reconstruction/index.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"entries": [entry]}))


def test_nothing_rendered_is_said(tmp_path):
    with pytest.raises(ClipError, match="nothing was rendered"):
        load_entries(Layout(tmp_path))


def test_an_index_without_a_key_is_said(tmp_path):
    write_index(Layout(tmp_path), {"name": "a", "identity": "a", "driver": "a", "frames": [0], "video": "a.mkv"})
    with pytest.raises(ClipError, match="lacks 'split'"):
        load_entries(Layout(tmp_path))


def test_an_unknown_split_is_said(tmp_path):
    write_index(Layout(tmp_path), {"name": "a", "identity": "a", "driver": "a", "frames": [0], "split": ["test"], "video": "a.mkv"})
    with pytest.raises(ClipError, match="frames and splits"):
        load_entries(Layout(tmp_path))
