"""A crowd: synthetic people by the hundred, small and short, whose tracks are the truth. They stand for a large cast."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from castfield import images
from castfield.cast import body, filming, performance
from castfield.cast.people import Person, find, people
from castfield.clip import Track, split_frames
from castfield.config import WorkConfig
from castfield.images import ClipImages, bounding_box, covers, fill_background, grow, resize
from castfield.rigs import cast_folder, load_rig
from castfield.runners import workers
from castfield.scratch import fingerprint, scratch, write_npz

FILMED = 128
"""Side of the pictures before they are averaged down."""


def stranger(number: int) -> Person:
    """Somebody new: the traits, hair, face, clothes and manner of different people of the cast, mixed, with a shape of their own."""
    random = np.random.default_rng(7_000 + number)
    cast = [find(name) for name in people()]
    one, hair, face, clothes, room, manner = (cast[k] for k in random.integers(len(cast), size=6))
    traits = {name: float(np.clip(value + random.normal(0, 0.08), 0, 1)) for name, value in one.traits.items()}
    return replace(
        one, name=f"stranger{number:03d}", seed=7_000 + number, traits=traits, hair=hair.hair, face=face.face, clothes=clothes.clothes,
        room=room.room, temper=manner.temper, lines=manner.lines, voice=manner.voice,
    )  # fmt: skip


def film_stranger(number: int, rig_folder: Path, size: int, seconds: float) -> Path:
    """Arrays of one stranger as `castfield.images` has them, in the scratch folder; filmed where they are not there yet."""
    code = [Path(module.__file__) for module in (filming, body, performance, images) if module.__file__]
    path = scratch("crowd", f"{number}-{size}-{fingerprint(number, size, seconds, rig_folder / 'rig.npz', Path(__file__), *code)}.npz")
    if not path.exists():
        person, rig = stranger(number), load_rig(rig_folder)
        take = performance.perform(person, seconds)
        shot = filming.Shot(person, rig, body.Body(person, rig, body.identity_of(person, rig, rig_folder)), take, FILMED)
        frames = np.stack([resize(picture, size) for picture in shot.pictures()])
        truth = shot.truth()
        head, torso = (np.stack([resize((255 * m[..., None]).astype(np.uint8), size)[..., 0] for m in masks])
                       for masks in (truth.head_mask, truth.torso_mask))  # fmt: skip
        plate, seen = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), bool)
        background = np.stack([fill_background(f, covers(h, t), plate, seen) for f, h, t in zip(frames, head, torso, strict=True)])
        boxes = np.stack([bounding_box(grow(h)) for h in head]).astype(np.int32)
        write_npz(
            path, frames=frames, head=head, background=background, boxes=boxes, identity=truth.identity, expression=truth.expression,
            rotation=truth.rotation, translation=truth.translation, focal=np.array(truth.focal), landmarks=truth.landmarks,
        )  # fmt: skip
    return path


def load_stranger(path: Path, name: str, size: int) -> ClipImages:
    """What `film_stranger` left as a clip to train on."""
    with np.load(path) as z:
        pictures = {k: z[k] for k in ("frames", "head", "background", "boxes")}
        motion = {k: z[k] for k in ("identity", "expression", "rotation", "translation", "landmarks")}
        focal = float(z["focal"])
    count = len(pictures["frames"])
    track = Track(**motion, focal=focal, size=FILMED, valid=np.ones(count, bool))
    return ClipImages(name, size, **pictures, track=track, split=split_frames(count))


def crowd(count: int, rig_folder: Path, size: int, seconds: float, work: WorkConfig) -> list[ClipImages]:
    """`count` strangers."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    numbers, rig_folder = range(count), cast_folder(rig_folder)  # people are filmed from Anny, whatever rig is fitted
    with ProcessPoolExecutor(workers(work), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(film_stranger, n, rig_folder, size, seconds) for n in numbers]
        paths = [future.result() for future in tqdm(futures, desc="bench: filming the crowd", unit="person")]
    return [load_stranger(path, f"stranger{n:03d}", size) for n, path in zip(numbers, paths, strict=True)]
