"""How a head moves with its expression, by the fitted rig: points are looked up where they lie at rest (a canonical space).

What cameras see moves across the picture, so a map of displacements over (x, y) tells it, one for everything behind a place. The fields
learn what the rig does not know: its wrinkles and shadows, the inside of a mouth, and where it is wrong.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from castfield.fields.blank import blank, move
from castfield.fields.fast import cpu_kernels

SIDE = 48
"""Places along each side of the box at which displacements are known."""
NEIGHBOURS = 6
"""Vertices whose motion a place shares."""
LOOKS = 3
"""Rounds of the fixed point x = y - shift(x), from which y is where a point is seen and x where it lies at rest."""


class Motion(nn.Module):
    """Displacements of each of `people` people for expressions of length d; nobody moves until `start`. No gradients.

    What an action moves is the same for everybody: so many `vertices`. Where these are seen is each person's own: what a place shows is the
    mean of a few `neighbours`. Maps of what each action moves at each place would take four times the memory, in float16.
    """

    rest: Tensor
    moves: Tensor
    near: Tensor
    share: Tensor

    def __init__(self, people: int, d: int, vertices: int, neighbours: int = NEIGHBOURS) -> None:
        super().__init__()
        self.register_buffer("rest", torch.zeros(people, d))
        self.register_buffer("moves", torch.zeros(d, vertices, 2))
        self.register_buffer("near", blank(people, SIDE * SIDE, neighbours, kind=np.int32))
        self.register_buffer("share", blank(people, SIDE * SIDE, neighbours))

    def start(self, person: int, rest: Tensor, near: Tensor, share: Tensor, weight: float = 1.0, slot: int = 0) -> None:
        """rest (d,): the expression at which the person is at rest; near (SIDE^2, K): of which vertices the places, by lines of y, show the
        motion, and share (SIDE^2, K) how much of it. weight: how far rest and motion move there from what they are; where that is not
        all of the way, what they are keeps its neighbours, and these have the places of slot K on."""
        count = near.shape[1]
        move(self.rest[person], rest, weight)
        if weight != 1:
            self.share[person] *= 1 - weight
        self.near[person, :, slot * count : (slot + 1) * count] = near
        self.share[person, :, slot * count : (slot + 1) * count] = weight * share

    @torch.no_grad()
    def maps(self, people: Tensor, expression: Tensor) -> Tensor:
        """Displacements (F, SIDE, SIDE, 2) of people (F,) under expression (F, d), in units of the box's [-1, 1]."""
        moved = expression - self.rest[people]
        if fast := cpu_kernels(moved):
            at, found = moved.new_empty(len(moved), self.moves[0].numel()), moved.new_empty(len(moved), SIDE * SIDE, 2)
            fast.combine(moved.contiguous().numpy(), self.moves.flatten(1).numpy(), at.numpy())
            fast.shared(at.numpy(), people.numpy(), self.near.numpy(), self.share.numpy(), found.numpy())
        else:
            at = (moved @ self.moves.flatten(1)).unflatten(1, (-1, 2))
            found = torch.stack([(self.share[p][..., None] * at[f][self.near[p].long()]).sum(1) for f, p in enumerate(people.tolist())])
        return found.view(-1, SIDE, SIDE, 2)


@torch.no_grad()
def at_rest(unit: Tensor, moved: Tensor) -> Tensor:
    """Where points unit (F, P, 3) in [-1, 1]^3 lie at rest, when heads are moved by `Motion.maps` (F, S, S, 2): (F, P, 3)."""
    if fast := cpu_kernels(unit):
        unit, found = unit.contiguous(), torch.empty_like(unit, memory_format=torch.contiguous_format)
        fast.at_rest(unit.numpy(), moved.contiguous().numpy(), LOOKS, found.numpy())
        return found
    shifts, seen = moved.permute(0, 3, 1, 2), unit[..., :2]
    place = seen
    for _ in range(LOOKS):
        shift = torch.nn.functional.grid_sample(shifts, place[:, :, None], padding_mode="border", align_corners=False)
        place = seen - shift[..., 0].transpose(1, 2)
    return torch.cat([place, unit[..., 2:]], -1)
