"""Hair on a head, as CPU kernels (Numba); `hair.py` says what they compute."""

from __future__ import annotations

from castfield.fields.kernels import exact


@exact
def grow(bare, nearest, share, thick, grown):
    """grown (D, D, D) = bare (D, D, D) - thick (D, D) * share[nearest]; nearest (D, D, D) counts from the end of share (V,) below 0."""
    side = len(bare)
    for z in range(side):
        for y in range(side):
            for x in range(side):
                vertex = nearest[z, y, x]
                grown[z, y, x] = bare[z, y, x] - thick[y, x] * share[vertex if vertex >= 0 else vertex + len(share)]


@exact
def hang(cut, depth, beside, depths, forward, back, hair, distance):
    """In distance (D, D, D) at most `hair` less than `forward` before depth (D, D) and less than -`back` behind it, where `beside` (D, D)
    says so and cut (D, D, D) is negative; and everywhere at least cut. depths (D,): of the first axis."""
    side = len(cut)
    for z in range(side):
        for y in range(side):
            for x in range(side):
                apart, held = depths[z] - depth[y, x], cut[z, y, x]
                layer = beside[y, x] and held < 0 and apart < forward and apart > back
                value = min(distance[z, y, x], hair) if layer else distance[z, y, x]
                distance[z, y, x] = max(value, held)
