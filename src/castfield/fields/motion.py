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
LOOKS = 3
"""Rounds of the fixed point x = y - shift(x), from which y is where a point is seen and x where it lies at rest."""


class Motion(nn.Module):
    """Displacements of each of `people` people for expressions of length d; nobody moves until `start`. No gradients."""

    rest: Tensor
    actions: Tensor

    def __init__(self, people: int, d: int) -> None:
        super().__init__()
        self.register_buffer("rest", torch.zeros(people, d))
        # In float16, which is right to a hundredth of a millimetre or two: these maps take most of the memory of what a person starts from.
        self.register_buffer("actions", blank(people, d, SIDE, SIDE, 2, kind=np.float16))

    def start(self, person: int, rest: Tensor, actions: Tensor, weight: float = 1.0) -> None:
        """rest (d,): the expression at which the person is at rest; actions (d, SIDE, SIDE, 2): what each action in full adds to x and y
        of what lies at a place, by lines of y, in units of the box's [-1, 1]. weight: how far both move there from what they are."""
        move(self.rest[person], rest, weight)
        move(self.actions[person], actions.half(), weight)

    @torch.no_grad()
    def maps(self, people: Tensor, expression: Tensor) -> Tensor:
        """Displacements (F, SIDE, SIDE, 2) of people (F,) under expression (F, d)."""
        moved, sets = expression - self.rest[people], self.actions.flatten(2)
        if fast := cpu_kernels(moved):
            found = moved.new_empty(len(moved), sets.shape[2])
            fast.combine(moved.contiguous().numpy(), people.numpy(), sets.numpy().view(np.uint16), found.numpy())
        else:
            found = torch.cat([moved[f, None] @ sets[person].float() for f, person in enumerate(people.tolist())])
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
