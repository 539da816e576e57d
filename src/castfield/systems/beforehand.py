"""What is known of a person before anything is learned: from the fit, the masks and a few frames.

It hangs on clip, rig and resolution alone. So it is found once and kept in the scratch folder, as the clip's pictures are
(`castfield.images`), and every further training of that clip begins from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import castfield
from castfield.fields.fast import has_kernels
from castfield.fields.planes import CELLS, cell_centres
from castfield.images import ClipImages
from castfield.rigs import Rig
from castfield.scratch import fingerprint, map_npz, scratch, write_npz
from castfield.systems import frontal, hull
from castfield.systems.hair import with_hair
from castfield.systems.moving import actions
from castfield.systems.shape import density_prior, front, head_distance, surface_at_rest

CODE = ("systems/beforehand.py", "systems/frontal.py", "systems/hair.py", "systems/hull.py", "systems/moving.py", "systems/shape.py",
        "systems/shape_kernels.py", "fields/motion.py", "fields/planes.py", "rigs/base.py", "images.py")  # fmt: skip
"""Source files on which it hangs."""


@dataclass(frozen=True)
class Known:
    """What is known of a person before anything is learned."""

    prior: Tensor
    """(48^3,) of the raw density."""
    inside: Tensor
    """(48^3,) bool: cells that their masks allow."""
    colour: Tensor | None = None
    """(side, side, 3) RGB in [0, 1]: how they look from the front."""
    motion: tuple[Tensor, Tensor] | None = None
    """The expression at rest, and what each action moves: as for `Motion.start`."""


def beforehand(clip: ClipImages, rig: Rig | None, side: int) -> Known:
    """What fit and masks say of a person, their colours at side x side places: what was kept or, the first time, what is found.

    Without a rig little is known, and nothing is kept.
    """
    if rig is None:
        return find(clip, None, side)
    path = scratch("beforehand", f"{clip.clip}-{_key(clip, rig, side)}.npz")
    if not path.exists():
        known = find(clip, rig, side)
        if known.colour is None or known.motion is None:
            raise TypeError("a rig gives colours and motion")
        rest, moves = known.motion
        write_npz(path, prior=known.prior.numpy(), inside=known.inside.numpy(), colour=known.colour.numpy(), rest=rest.numpy(),
                  actions=moves.contiguous().numpy())  # fmt: skip
        return known
    kept = {name: torch.from_numpy(value) for name, value in map_npz(path).items()}
    return Known(kept["prior"], kept["inside"], kept["colour"], (kept["rest"], kept["actions"]))


def find(clip: ClipImages, rig: Rig | None, side: int) -> Known:
    """The same, without a look at what was kept."""
    centres = cell_centres()
    masks = hull.visual_hull(clip, centres)
    if rig is None:
        return Known(torch.zeros(CELLS**3), masks.inside)
    surface = surface_at_rest(rig, clip.track)
    distance = with_hair(rig, *head_distance(rig, surface, centres, masks.possible), masks.beyond)
    colour = frontal.frontal_view(clip, front(distance), side)
    return Known(density_prior(distance), masks.inside, colour, (surface.rest, actions(rig, surface)))


def side_by_side(people: int, work: Callable[[int], object], abreast: bool = True) -> None:
    """Do some work for each of so many people, each on one thread; one after another where they are not independent (`abreast`)."""
    with _single_threads() as many, ThreadPoolExecutor(many if abreast else 1) as pool:
        for _ in pool.map(work, range(people)):
            pass


@contextmanager
def _single_threads() -> Iterator[int]:
    """PyTorch on one thread; gives how many threads it had."""
    many = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield many
    finally:
        torch.set_num_threads(many)


def _key(clip: ClipImages, rig: Rig, side: int) -> str:
    """A digest of all that `find` looks at."""
    track, digest = clip.track, hashlib.sha256(f"{_of_code()} {has_kernels()} {side} {clip.size}".encode())
    digest.update(
        _of_rig(rig.neutral, rig.identity_basis, rig.expression_basis, rig.faces, rig.parts, tuple(rig.part_names), rig.head_faces)
    )
    masked, painted = clip.spread_train_frames(hull.VIEWS), clip.spread_train_frames(frontal.VIEWS)
    for array in (clip.head[masked], clip.cameras(masked), clip.head[painted], clip.frames[painted], clip.cameras(painted), track.identity,
                  track.expression, track.valid):  # fmt: skip
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


@cache
def _of_code() -> str:
    home = Path(castfield.__file__).parent
    return fingerprint(*(home / name for name in CODE))


@lru_cache(maxsize=1)
def _of_rig(*parts: Tensor | tuple[str, ...] | int) -> bytes:
    """Kept: a cast has one rig, and its arrays are large."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(part.contiguous().numpy().data)
        else:
            digest.update(repr(part).encode())
    return digest.digest()
