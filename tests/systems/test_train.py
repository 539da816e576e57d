"""Training: resuming, repeating, refusing. All on a made scene whose truth is exact."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_scene import made_clip, made_rig

from castfield.config import Config
from castfield.errors import CastfieldError, TrainingError
from castfield.rendering.animate import render_frames
from castfield.systems import load_model, train
from castfield.systems.learn import steps_for
from castfield.systems.model import build_model
from castfield.training.loop import pick_device

sys.path.insert(0, str(Path(__file__).parent))
from small import small_config

CLIPS = [made_clip("a", 16, 24, seed=0), made_clip("b", 16, 24, seed=1), made_clip("c", 20, 24, seed=2)]


@pytest.fixture(autouse=True)
def scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))


def model_bytes(folder: Path) -> bytes:
    return (folder / "model.pt").read_bytes()


@pytest.mark.parametrize("field", ["grid", "mlp"])
def test_same_seed_same_bits_other_seed_other_bits(field, tmp_path, monkeypatch):
    config = small_config(field)
    files = []
    for run, seed in enumerate((0, 0, 1)):
        monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / f"scratch{run}"))
        train(replace(config, seed=seed), CLIPS, tmp_path / str(run))
        files.append(model_bytes(tmp_path / str(run)))
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("field", ["grid", "mlp"])
@pytest.mark.parametrize("points", [200, 8], ids=["a row a step", "steps summed to rows"])
def test_an_interrupted_run_ends_with_the_same_bits(field, points, tmp_path, monkeypatch):
    monkeypatch.setattr("castfield.training.loop.CURVE_POINTS", points)  # a long run sums several steps to a row of the curve
    config = small_config(field)
    model, report = train(config, CLIPS, tmp_path / "whole")
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "other"))
    steps = report["steps"]
    kind = type(model.system)
    undisturbed = kind.loss
    for stop in (3, steps // 2, steps - 1):
        calls = iter(range(10**6))

        def failing(self, batch, progress, calls=calls, stop=stop):
            if round(progress * steps) == stop and next(calls) == 0:
                raise KeyboardInterrupt
            return undisturbed(self, batch, progress)

        monkeypatch.setattr(kind, "loss", failing)
        with pytest.raises(KeyboardInterrupt):
            train(config, CLIPS, tmp_path / "resumed")
    monkeypatch.setattr(kind, "loss", undisturbed)
    _, again = train(config, CLIPS, tmp_path / "resumed")
    assert model_bytes(tmp_path / "whole") == model_bytes(tmp_path / "resumed")
    strip = lambda r: [{k: v for k, v in row.items() if k != "seconds"} for row in r["curve"]]  # noqa: E731
    assert strip(report) == strip(again), "the curve, too, is that of an undisturbed run"


def test_killed_with_sigkill_at_a_random_step(tmp_path):
    """A real kill -9 of a real process, wherever it happens to be; the rerun ends with the same bits."""
    here = Path(__file__).parent
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\nfrom dataclasses import replace\n"
        "from test_train import CLIPS\nfrom small import small_config\nfrom castfield.systems import train\n"
        "c = small_config('grid'); c = replace(c, train=replace(c.train, grid=replace(c.train.grid, steps=200)))\n"
        "train(c, CLIPS, Path(sys.argv[1]))\n"
    )
    source = str(here.parents[1] / "src")

    def start(out: str, scratch: str) -> subprocess.Popen:
        command = [sys.executable, "-c", program, str(tmp_path / out), str(here), str(here.parent), source]
        return subprocess.Popen(command, env={**os.environ, "CASTFIELD_SCRATCH": str(tmp_path / scratch)}, stderr=subprocess.DEVNULL)

    whole = start("whole", "one")
    killed = start("killed", "two")
    folder = tmp_path / "two/checkpoints/train"
    while killed.poll() is None and not list(folder.glob("*/state.pt")):
        time.sleep(0.01)
    time.sleep(float(np.random.default_rng().random()) * 0.5)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed/model.pt").exists(), "it was killed before it had finished"
    assert start("killed", "two").wait() == 0
    assert whole.wait() == 0
    assert model_bytes(tmp_path / "whole") == model_bytes(tmp_path / "killed")


def test_it_learns_and_held_out_frames_are_rendered(tmp_path):
    config = small_config("grid", save_seconds=60.0)
    _, report = train(config, CLIPS[:2], tmp_path, steps=150)
    assert report["train_psnr"] > report["curve"][0]["psnr"] + 5
    model, clip = load_model(tmp_path), CLIPS[0]
    frames, opacity = render_frames(
        model, "a", clip.track.expression, clip.track.rotation, clip.track.translation, clip.focal, clip.background
    )
    assert frames.shape == clip.frames.shape
    assert opacity.shape == clip.head.shape
    head = clip.head > 127
    assert opacity[head].mean() > 0.8
    assert opacity[~head].mean() < 0.2
    held = np.concatenate([clip.split.end, clip.split.speech])
    error = ((frames[held] / 255.0 - clip.frames[held] / 255.0) ** 2)[head[held]].mean()
    nothing = ((clip.background[held] / 255.0 - clip.frames[held] / 255.0) ** 2)[head[held]].mean()
    assert error < nothing / 4
    far = opacity == 0
    assert far.any()
    assert (frames[far] == clip.background[far]).all(), "where there is no head the background is untouched"


def test_a_frame_does_not_depend_on_what_is_rendered_with_it(tmp_path):
    train(small_config("grid"), CLIPS, tmp_path, steps=20)
    model, clip = load_model(tmp_path), CLIPS[1]
    args = (clip.track.expression, clip.track.rotation, clip.track.translation)
    whole, _ = render_frames(model, "b", *args, clip.focal, clip.background)
    part, _ = render_frames(model, "b", *[a[5:7] for a in args], clip.focal, clip.background[5:7])
    assert np.abs(whole[5:7].astype(int) - part.astype(int)).max() <= 1


def test_the_paper_field_learns_and_renders_with_and_without_smoothing(tmp_path):
    for smooth_after in (0.0, 1.1):
        config = small_config("mlp")
        mlp = replace(config.train.mlp, smooth_after=smooth_after, lr=5e-3)
        config = replace(config, train=replace(config.train, mlp=mlp, save_seconds=60.0))
        model, report = train(config, CLIPS[:2], tmp_path, steps=300)
        assert model.system.smooths(0.5) is (smooth_after == 0.0)
        losses = [row["loss"] for row in report["curve"]]
        assert np.mean(losses[-60:]) < 0.9 * np.mean(losses[:40])
        clip = CLIPS[0]
        args = (clip.track.expression[:3], clip.track.rotation[:3], clip.track.translation[:3])
        frames, _ = render_frames(load_model(tmp_path), "a", *args, clip.focal, clip.background[:3])
        assert frames.shape == (3, 24, 24, 3)


@pytest.mark.parametrize("name", ["M", "H", "baseline", "A4", "A7", "concat", "M_latent"])
def test_every_kind_of_module_trains_in_both_identity_modes(name, tmp_path):
    for identity in ("planes", "conditioning"):
        config = small_config("grid", module=name, identity=identity, save_seconds=60.0)
        model, _ = train(config, CLIPS, None, steps=4)
        assert len(model.system.field.people) == (3 if identity == "planes" else 1)


def test_without_latent_codes(tmp_path):
    model, _ = train(small_config("grid", latent=False), CLIPS, tmp_path, steps=4)
    assert sum(t.numel() for t in model.system.codes.tables) == 0
    clip = CLIPS[0]
    args = (clip.track.expression[:1], clip.track.rotation[:1], clip.track.translation[:1])
    render_frames(load_model(tmp_path), "a", *args, clip.focal, clip.background[:1])


@pytest.mark.parametrize("latent", [True, False])
def test_every_parameter_moves_once_and_what_is_looked_up_together_shares_its_mean_of_squares(latent):
    system = build_model(small_config(latent=latent), CLIPS, None).system
    groups = system.parameter_groups()
    assert sorted(id(p) for group in groups for p in group.parameters) == sorted(id(p) for p in system.parameters())
    shares = {id(p): group.together for group in groups for p in group.parameters}
    assert {shares[id(p)] for p in system.field.people} == {system.config.channels}
    # A code of each frame with two moments of its own is most of what a long clip takes of memory.
    assert {shares[id(p)] for p in system.codes.tables} == {system.codes.latent_dim if latent else 1}
    assert shares[id(system.codes.identity)] == shares[id(system.field.hidden.weight)] == 1


def test_where_no_ray_passes_a_head_stays_as_it_was_known():
    """What was cut away beside the rim of a head in one pose was missing from its side in the next."""
    clip, places, learned = CLIPS[0], 2 * torch.rand(1, 2000, 3, generator=torch.Generator().manual_seed(0)) - 1, []
    for weight in (0.0, 1e-4):
        config = small_config(save_seconds=60.0)
        config = replace(config, train=replace(config.train, grid=replace(config.train.grid, density_weight=weight)))
        model, _ = train(config, [clip], None, rig=made_rig(), steps=60)
        with torch.no_grad():
            prepared = model.system.prepare(
                torch.tensor([0]),
                torch.from_numpy(clip.track.expression[:1]),
                *model.conditions(clip.clip, clip.track.expression[:1], None),
            )
            learned.append(float(model.system.field(places, prepared)[0][..., 0].square().mean()))
    assert learned[1] < learned[0] / 5


def test_not_a_number_stops_with_reason_and_last_good_checkpoint(tmp_path, monkeypatch):
    config = small_config("grid")
    model, _ = train(config, CLIPS, None, steps=2)
    kind, undisturbed = type(model.system), type(model.system).loss

    def poisoned(self, batch, progress):
        loss, error = undisturbed(self, batch, progress)
        return (loss * float("nan") if progress >= 0.5 else loss), error

    monkeypatch.setattr(kind, "loss", poisoned)
    with pytest.raises(TrainingError, match="not finite") as caught:
        train(config, CLIPS, tmp_path / "out", steps=80)
    message = str(caught.value)
    assert "step 4" in message
    assert "state.pt" in message
    assert "learning rate" in message
    assert not (tmp_path / "out/model.pt").exists()
    checkpoint = Path(message.split("last good checkpoint: ")[1].splitlines()[0])
    state = torch.load(checkpoint, weights_only=True)
    assert 0 < state["step"] <= 40
    assert all(torch.isfinite(v.float()).all() for v in state["model"].values())


def test_steps_grow_with_the_cast_and_errors_are_clear(tmp_path):
    config = Config()
    assert steps_for(config, 9) - steps_for(config, 8) == config.train.grid.steps_per_clip
    assert steps_for(small_config("mlp"), 9) == 20
    with pytest.raises(CastfieldError, match="there is no model"):
        load_model(tmp_path / "nowhere")
    train(small_config("grid"), CLIPS, tmp_path, steps=1)
    with pytest.raises(CastfieldError, match="does not know the clip 'z'"):
        load_model(tmp_path).index("z")
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="no GPU"):
            pick_device("cuda")


def test_every_direction_of_expression_moves_alike_in_the_fast_field():
    """A jaw that moves by hundredths counts as much as lids that move by one; what hardly moves at all is not blown up."""
    moves = np.array([1.0, 0.05, 0.001, 0.0], np.float32)
    clips = [replace(c, track=replace(c.track, expression=c.track.expression[:, :1] * moves)) for c in CLIPS]
    gain = build_model(small_config("grid"), clips, None).system.expression_gain.numpy()
    spread = np.concatenate([c.track.expression[c.train_frames] for c in clips]).std(0) * gain
    np.testing.assert_allclose(spread[0], 0.3, rtol=1e-5)
    np.testing.assert_allclose(spread[1], 0.3 * min(1.0, spread[0] / gain[0] * 0.05 / 0.03), rtol=1e-4)
    np.testing.assert_allclose(gain[2:], 10, rtol=1e-5)
    paper = build_model(small_config("mlp"), clips, None).system
    assert (paper.expression_gain == 1).all()
