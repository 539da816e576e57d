"""How somebody looks from the front, in a scene whose colours are known at every place."""

from dataclasses import replace

import numpy as np
import torch
from made_scene import RADII, made_clip, made_rig
from small import small_config

from castfield.fields.planes import BOX_HIGH, BOX_LOW
from castfield.rendering.animate import render_frames
from castfield.systems import frontal
from castfield.systems.frontal import frontal_view
from castfield.systems.model import build_model
from castfield.training.loop import psnr

SIDE = 64


def places() -> tuple[np.ndarray, np.ndarray]:
    """x and y (SIDE, SIDE) of the texels of a frontal plane, metres."""
    within = (np.arange(SIDE) + 0.5) / SIDE
    (left, low, _), (right, high, _) = BOX_LOW, BOX_HIGH
    return np.meshgrid(left + (right - left) * within, low + (high - low) * within)


def front_of_the_head(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """z of the made head's front, 0 beside it."""
    return RADII[2] * np.sqrt(np.maximum(1 - (x / RADII[0]) ** 2 - (y / RADII[1]) ** 2, 0))


def test_colours_are_those_of_the_surface_that_cameras_see():
    clip, (x, y) = made_clip("a", 20, 128, seed=3), places()
    z = front_of_the_head(x, y).astype(np.float32)
    colour = frontal_view(clip, torch.from_numpy(z), SIDE).numpy()
    skin = np.array([0.9, 0.6, 0.5]) * (0.6 + 0.4 * skin_of(3))
    truth = skin * (0.75 + 0.25 * np.sin(x * 60) * np.cos(y * 50))[..., None]
    face = ((x / RADII[0]) ** 2 + (y / RADII[1]) ** 2 < 0.6) & ((np.abs(x) > 0.035) | (np.abs(y + 0.04) > 0.045))
    assert colour.shape == (SIDE, SIDE, 3)
    assert colour.dtype == np.float32
    assert np.abs(colour - truth)[face].mean() < 0.02
    mirrored = np.abs(colour[:, ::-1] - truth)[face].mean()
    assert mirrored > 0.05, "the scene would tell left from right"
    beside = (np.abs(x) > 0.15) | (y > 0.17)
    assert (colour[beside] == colour[0, 0]).all(), "the mean where no mask holds anything"
    assert np.abs(colour[0, 0] - truth[face].mean(0)).max() < 0.1


def test_colours_are_the_same_with_kernels_and_without(monkeypatch):
    clip, (x, y) = made_clip("a", 20, 64, seed=3), places()
    z = torch.from_numpy(front_of_the_head(x, y).astype(np.float32))
    found = frontal_view(clip, z, SIDE)
    monkeypatch.setenv("CASTFIELD_KERNELS", "off")
    torch.testing.assert_close(frontal_view(clip, z, SIDE), found, atol=1e-5, rtol=0)


def skin_of(seed: int) -> np.ndarray:
    """What `made_clip` draws for the skin, after 20 frames of three expressions."""
    random = np.random.default_rng(seed)
    random.random((20, 3))
    return random.random(3)


def test_a_person_is_there_before_the_first_step():
    clip, config = made_clip("a", 20, 64), small_config(size=64)
    chosen = clip.train_frames[::4]
    track = clip.track

    def score(model):
        poses = track.expression[chosen], track.rotation[chosen], track.translation[chosen]
        pictures, _ = render_frames(model, "a", *poses, clip.focal, np.asarray(clip.background[chosen]))
        on = clip.head[chosen] > 127
        return psnr(float(np.square((pictures[on].astype(float) - clip.frames[chosen][on]) / 255).mean()))

    with_rig, without = (score(build_model(config, [clip], rig)) for rig in (made_rig(), None))
    assert with_rig > 20 > 15 > without


def test_people_that_share_planes_share_the_mean_look():
    clips = [made_clip("a", seed=1), made_clip("b", seed=2)]
    config = small_config()
    shared = build_model(replace(config, train=replace(config.train, identity="conditioning")), clips, made_rig()).system
    own = build_model(config, clips, made_rig()).system
    (mean,), both = shared.field.people, torch.stack(list(own.field.people))
    torch.testing.assert_close(mean, both.mean(0))
    torch.testing.assert_close(shared.field.prior[0], own.field.prior.mean(0))


def test_fine_detail_is_left_when_colours_are_looked_up_again(monkeypatch):
    """Stripes of four pixels on a flat head that looks straight ahead, seen as the field sees its texels: between them, too."""
    clip, size, wave = made_clip("a", 20, 128), 128, 0.01
    column = (np.arange(size) + 0.5 - size / 2) * 0.6 / clip.focal
    frames = np.broadcast_to(127.5 + 60 * np.sin(2 * np.pi * column / wave)[None, None, :, None], clip.frames.shape).astype(np.uint8)
    poses = {
        "rotation": np.tile(np.diag([1.0, -1, -1]).astype(np.float32), (20, 1, 1)),
        "translation": np.tile(np.float32([0, 0, 0.6]), (20, 1)),
    }
    striped = replace(clip, frames=frames, head=np.full_like(clip.head, 255), track=replace(clip.track, **poses))
    (left, *_), (right, *_) = BOX_LOW, BOX_HIGH

    def left_of_it() -> float:
        colour = 255 * frontal_view(striped, torch.zeros(2, 2), size).numpy()[40:80, :, 0].mean(0)
        seen = np.interp(np.arange(size, step=0.25), np.arange(size), colour)
        stripes = np.exp(2j * np.pi * (left + (right - left) * (np.arange(size, step=0.25) + 0.5) / size) / wave)
        return abs(2 * (seen * stripes)[80:-80].mean()) / 60

    assert 0.75 < left_of_it() < 1.1
    monkeypatch.setattr(frontal, "SHARPEN", 0.0)
    assert left_of_it() < 0.7
