"""What the field sees of a clip: resized, masked, with a background per frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_scene import made_clip
from PIL import Image

from castfield.errors import ClipError
from castfield.images import (
    MARGIN,
    area_weights,
    bounding_box,
    covers,
    fill_background,
    grow,
    load_all_images,
    load_images,
    push_pull,
    resize,
)
from castfield.layout import Layout
from castfield.media import encode_lossless


@pytest.fixture
def layout(tmp_path, monkeypatch) -> Layout:
    monkeypatch.setenv("CASTFIELD_SCRATCH", str(tmp_path / "scratch"))
    layout = Layout(tmp_path)
    for folder in (layout.frames, layout.masks, layout.tracks):
        folder.mkdir(parents=True)
    for seed, name in enumerate("ab"):
        clip = made_clip(name, 12, 48, seed=seed)
        encode_lossless(layout.frames / f"{name}.mkv", clip.frames)
        zero = np.zeros_like(clip.head)
        encode_lossless(layout.masks / f"{name}.mkv", np.stack([clip.head, zero, 255 - clip.head], -1))
        plate = np.dstack([clip.background[0], np.full((48, 48), 255, np.uint8)])
        Image.fromarray(plate, "RGBA").save(layout.masks / f"{name}.png")
        clip.track.save(layout.tracks / f"{name}.npz")
    return layout


def test_a_clip_at_half_size(layout):
    clip = load_images(layout, "a", 24)
    truth = made_clip("a", 12, 48, seed=0)
    blocks = truth.frames.reshape(12, 24, 2, 24, 2, 3).astype(float).mean((2, 4))
    np.testing.assert_allclose(clip.frames, blocks, atol=0.51)
    assert clip.focal == truth.focal / 2
    outside = ~np.stack([grow(h, MARGIN) for h in clip.head])
    assert (clip.background[outside] == clip.frames[outside]).all()
    assert np.abs(clip.background.astype(int) - resize(truth.background[0], 24)).max() <= 2, "inside it is the plate"
    assert isinstance(clip.frames, np.memmap)
    assert not clip.frames.flags.writeable


def test_the_track_stays_in_its_file(layout):
    clip, truth = load_images(layout, "a", 24), made_clip("a", 12, 48, seed=0).track
    for name in ("expression", "rotation", "translation", "landmarks"):
        assert isinstance(getattr(clip.track, name).base, np.memmap), name
        np.testing.assert_array_equal(getattr(clip.track, name), getattr(truth, name))
    assert isinstance(clip.boxes.base, np.memmap)


def test_it_is_built_once_and_read_again(layout, monkeypatch):
    first = load_all_images(layout, 24)
    assert [c.clip for c in first] == ["a", "b"]
    monkeypatch.setattr("castfield.images.media.stream", lambda path: pytest.fail("decoded twice"))
    again = load_all_images(layout, 24)
    assert all((x.frames == y.frames).all() for x, y in zip(first, again, strict=True))


def test_disagreeing_files_are_refused(layout):
    truth = made_clip("a", 12, 48, seed=0)
    encode_lossless(layout.masks / "a.mkv", np.repeat(truth.head[:7, ..., None], 3, -1))
    with pytest.raises(ClipError, match="differ in length"):
        load_images(layout, "a", 24)
    short = replace(
        truth.track, **{k: getattr(truth.track, k)[:9] for k in ("expression", "rotation", "translation", "valid", "landmarks")}
    )
    short.save(layout.tracks / "b.npz")
    with pytest.raises(ClipError, match="differ in length"):
        load_images(layout, "b", 24)
    (layout.masks / "b.png").unlink()
    with pytest.raises(ClipError, match="'b' has no plate"):
        load_images(layout, "b", 24)


def test_resize_to_any_size_keeps_the_mean():
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (30, 30, 3), np.uint8)
    for size in (10, 15, 17, 30, 45):
        small = resize(picture, size)
        assert small.shape == (size, size, 3)
        assert abs(small.mean() - picture.mean()) < 1
    np.testing.assert_allclose(area_weights(30, 17).sum(1), 1, rtol=1e-6)


def test_boxes_and_growing():
    mask = np.zeros((64, 64), np.uint8)
    assert bounding_box(grow(mask)).tolist() == [0, 0, 64, 64]
    mask[20:30, 40:44] = 255
    assert bounding_box(grow(mask)).tolist() == [38, 18, 46, 32]
    for size, reach in ((24, 1), (150, 5), (256, 8)):
        some = (np.random.default_rng(size).random((size, size)) > 0.99).astype(np.uint8) * 255
        wide = torch.nn.functional.max_pool2d(torch.from_numpy(some).float()[None], 2 * reach + 1, 1, reach)[0].numpy() > 0
        np.testing.assert_array_equal(grow(some), wide)


def test_push_pull_keeps_what_is_known_and_fills_smoothly():
    x = torch.linspace(0, 1, 33)
    ramp = (x[:, None] + x[None]).expand(33, 33)[..., None].repeat(1, 1, 2)
    known = torch.ones(33, 33, dtype=torch.bool)
    known[10:20, 12:25] = False
    filled = push_pull(torch.where(known[..., None], ramp, torch.full_like(ramp, 77.0)), known)
    assert torch.equal(filled[known], ramp[known])
    assert (filled - ramp).abs().max() < 0.15 * 2, "within 15 % of the ramp's range"
    constant = push_pull(torch.full((9, 7, 1), 3.0), torch.zeros(9, 7, dtype=torch.bool).index_fill(0, torch.tensor([0]), True))
    torch.testing.assert_close(constant, torch.full((9, 7, 1), 3.0))


def test_unseen_background_comes_from_around():
    frame = np.full((16, 16, 3), 50, np.uint8)
    covered = np.zeros((16, 16), bool)
    covered[4:12, 4:12] = True
    plate, seen = np.full((16, 16, 3), 200, np.uint8), np.zeros((16, 16), bool)
    assert (fill_background(frame, covered, plate, seen) == 50).all()


def test_the_torso_beside_the_neck_is_not_covered():
    head, torso = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    head[:30, 20:40], torso[30:] = 255, 255
    hidden = covers(head, torso)
    assert hidden[:30, 19:41].all()
    assert not hidden[:, :19].any()
    assert not hidden[:, 41:].any()
    assert not hidden[30:].any()


def test_beside_the_head_the_background_is_the_frames_own():
    """A wide guess round the head is a halo in every picture that has a pattern behind it."""
    head, torso = np.zeros((256, 256), np.uint8), np.zeros((256, 256), np.uint8)
    head[60:200, 80:170] = 255
    frame = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    background = fill_background(frame, covers(head, torso), np.zeros_like(frame), np.zeros((256, 256), bool))
    ring = grow(head) & ~grow(head, MARGIN)
    assert ring.sum() > 256 / 96 * 400, "a ring all round"
    assert (background[ring] == frame[ring]).all()
    assert np.abs(background[head > 0].astype(int) - frame[head > 0]).mean() > 20, "inside it is a guess"


def test_the_plate_shows_where_it_was_seen():
    frame = np.full((16, 16, 3), 50, np.uint8)
    covered = np.zeros((16, 16), bool)
    covered[4:12, 4:12] = True
    plate, seen = np.full((16, 16, 3), 200, np.uint8), np.zeros((16, 16), bool)
    seen[:, :8] = True
    filled = fill_background(frame, covered, plate, seen)
    assert (filled[5, 4:8] == 200).all()
    assert (filled[5, 12:] == 50).all()
    assert filled[7, 11, 0] < 200
