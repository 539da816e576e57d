"""What is known of a person before anything is learned: from the fit, the masks and a few frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from castfield.fields.planes import CELLS, cell_centres
from castfield.images import ClipImages
from castfield.rigs import Rig
from castfield.systems import frontal, hull
from castfield.systems.hair import with_hair
from castfield.systems.moving import neighbours
from castfield.systems.shape import density_prior, front, head_distance, surface_at_rest


@dataclass(frozen=True)
class Known:
    """What is known of a person before anything is learned."""

    prior: Tensor
    """(48^3,) of the raw density."""
    inside: Tensor
    """(48^3,) bool: cells that their masks allow."""
    colour: Tensor | None = None
    """(side, side, 3) RGB in [0, 1]: how they look from the front."""
    motion: tuple[Tensor, Tensor, Tensor] | None = None
    """The expression at rest, and whose motion each place shows, and how much of it: as for `Motion.start`."""


def beforehand(clip: ClipImages, rig: Rig | None, side: int) -> Known:
    """What fit and masks say of a person, their colours at side x side places. Without a rig little is known."""
    centres = cell_centres()
    masks = hull.visual_hull(clip, centres)
    if rig is None:
        return Known(torch.zeros(CELLS**3), masks.inside)
    surface = surface_at_rest(rig, clip.track)
    distance = with_hair(rig, *head_distance(rig, surface, centres, masks.possible), masks.beyond)
    colour = frontal.frontal_view(clip, front(distance), side)
    return Known(density_prior(distance), masks.inside, colour, (surface.rest, *neighbours(rig, surface)))


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
