"""A small project on disk, as it stands before the render stage: made people, tracks, masks and a briefly trained model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from made_scene import made_clip, made_rig
from PIL import Image

from castfield import media
from castfield.clip import Crop
from castfield.config import Config, GridConfig, PersonalizeConfig, RenderConfig, TrainConfig, WorkConfig
from castfield.footage import write_wav
from castfield.images import load_all_images
from castfield.layout import Layout
from castfield.systems import personalize, train

SIZE = 32
GRID = GridConfig(steps=60, steps_per_clip=0, resolutions=(32, 48, 64), expression_resolution=64, rays=64, person_rays=64)
CONFIG = Config(
    dataset="made",
    work=WorkConfig(runner="inline"),
    train=TrainConfig(size=SIZE, threads=1, grid=GRID),
    personalize=PersonalizeConfig(steps=20),
    render=RenderConfig(shown_size=64),
)


def write_clip(layout: Layout, name: str, frames: int, seed: int, speech: bool = True) -> None:
    """Every file of one made clip that stages before `train` leave behind."""
    clip = made_clip(name, frames, SIZE, seed=seed)
    media.encode_lossless(layout.frames / f"{name}.mkv", clip.frames)
    Crop((0.0, 0.0, float(SIZE)), SIZE, (SIZE, SIZE), 25.0, frames, 0.0, speech).save(layout.frames / f"{name}.json")
    masks = np.stack([clip.head, np.zeros_like(clip.head), 255 - clip.head], -1)
    media.encode_lossless(layout.masks / f"{name}.mkv", masks)
    plate = np.concatenate([clip.background[0], np.full((SIZE, SIZE, 1), 255, np.uint8)], -1)
    Image.fromarray(plate, "RGBA").save(layout.masks / f"{name}.png")
    valid = clip.track.valid.copy()
    valid[1] = False
    replace(clip.track, valid=valid).save(layout.tracks / f"{name}.npz")
    if speech:
        beat = np.sin(2 * np.pi * 220 * np.arange(frames * 640) / media.SAMPLE_RATE) * 8000
        write_wav(layout.speech / f"{name}.wav", beat.astype(np.int16))


def made_project(root: Path, people: dict[str, int]) -> Layout:
    """Write the project: `people` gives frames per name; the last one is silent. The model knows all of them."""
    layout = Layout(root)
    made_rig().save(layout.rig / "rig.npz")
    for seed, (name, frames) in enumerate(people.items()):
        write_clip(layout, name, frames, seed, speech=seed + 1 < len(people))
    images = load_all_images(layout, SIZE)
    model, _ = train(CONFIG, images, layout.generic)
    personalize(CONFIG, model, images[0], layout.personal / "seen")
    return layout
