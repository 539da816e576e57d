"""Hair and beards: locks grown from the skin as curved ribbons, combed by a direction field per style.

Lengths in metres, canonical head space (x to the person's left, y up, z out of the face).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from castfield.cast.people import Person

Flow = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(places (L, 3), normals of the nearest skin (L, 3), roots (L, 3)) -> directions in which hair goes on (L, 3)."""

CROSS = 3
"""Vertices across a lock."""


@dataclass(frozen=True)
class Locks:
    """Ribbons of hair."""

    points: np.ndarray
    """(V, 3) in the person's neutral head."""
    normals: np.ndarray
    """(V, 3) unit, away from the head, rounded over each lock."""
    tangents: np.ndarray
    """(V, 3) unit, along the lock."""
    paper: np.ndarray
    """(V, 3): across in [-1, 1], along in [0, 1], a random number of the lock."""
    faces: np.ndarray
    """(F, 3)."""
    roots: np.ndarray
    """(V,) the skin vertex that a lock moves with."""


@dataclass(frozen=True)
class Skin:
    """The bare head that hair grows on and stays outside of."""

    points: np.ndarray
    """(V, 3) neutral person."""
    normals: np.ndarray
    template: np.ndarray
    """(V, 3) the same vertices on the template: where a style's outlines are defined."""
    faces: np.ndarray
    """(F, 3) outer skin only."""
    ears: np.ndarray
    """(V,) bool."""


def scalp(template: np.ndarray) -> np.ndarray:
    """Signed distance (V,) in metres, about, to the hairline: positive where hair grows on the head."""
    x, y, z = template.T
    forehead = (0.012 + 0.72 * (y + 0.01) - z) * 0.8 + 0.006 * np.cos(x * 95) - 0.5 * np.maximum(np.abs(x) - 0.055, 0)
    above_ears = y - (0.012 + 0.35 * np.maximum(-0.01 - z, 0))
    nape = np.minimum(-0.028 - z, y + 0.060)
    return np.maximum(np.minimum(forehead, above_ears), nape)


def jaw(template: np.ndarray) -> np.ndarray:
    """Signed distance (V,) in metres, about, to the outline of a full beard: positive inside."""
    x, y, z = template.T
    far = np.abs(x)
    cheek = -0.040 - 0.35 * (0.04 - np.minimum(far, 0.04)) + 1.2 * np.maximum(far - 0.045, 0) - y
    sideburn = np.where(far > 0.060, 0.012 - y, cheek)
    below = z - 0.030 - 0.35 * np.maximum(-y - 0.07, 0) + 0.9 * np.maximum(far - 0.05, 0)
    mouth = np.hypot(far / 1.35, (y + 0.0535) * 1.15) - 0.0165
    moustache = np.minimum(np.minimum(0.030 - far, -0.0365 - y), y + 0.0440 + 0.30 * far)
    around = np.minimum(np.minimum(sideburn, below), mouth)
    around = np.minimum(around, y + 0.125)  # not on the neck
    return np.where(y > -0.053, np.maximum(np.where(far > 0.030, around, -1), moustache), around)


def grow(person: Person, skin: Skin) -> list[Locks]:
    """All hair of a person: the head's and the beard's."""
    rng = np.random.default_rng(person.seed + 2000)
    hair, grown = person.hair, []
    field = scalp(skin.template)
    if hair.style != "none":
        grown += _STYLES[hair.style](person, skin, field, rng)
    if hair.beard == "full":
        grown.append(_beard(skin, rng))
    return grown


# -- growing -----------------------------------------------------------------------------------------------------------


class _Head:
    """Nearest skin of any place."""

    def __init__(self, skin: Skin, ears: bool = False) -> None:
        """ears: whether hair lies over the ears; otherwise they stick out of it."""
        from scipy.spatial import cKDTree

        faces = skin.faces if ears else skin.faces[~skin.ears[skin.faces].any(1)]
        used = np.unique(faces)
        normals = skin.normals[faces].mean(1)
        self.points = np.concatenate([skin.points[used], skin.points[faces].mean(1)])
        self.normals = np.concatenate([skin.normals[used], normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)])
        self.tree = cKDTree(self.points)

    def near(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Height over the skin (L,) and its normal (L, 3), from the three nearest points."""
        distance, index = self.tree.query(places, k=3)
        weight = 1 / (distance + 1e-4)
        weight /= weight.sum(1, keepdims=True)
        normal = (self.normals[index] * weight[..., None]).sum(1)
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
        height = (((places[:, None] - self.points[index]) * self.normals[index]).sum(-1) * weight).sum(1)
        return height, normal


def _roots(skin: Skin, field: np.ndarray, count: int, rng: np.random.Generator, inset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Evenly scattered places (L, 3) where field > inset, and the vertex nearest to each (L,)."""
    inside = np.flatnonzero(((field[skin.faces] > inset).sum(1) >= 2) & ~skin.ears[skin.faces].any(1))
    corners = skin.points[skin.faces[inside]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1)
    total = np.cumsum(area)
    pick = np.searchsorted(total, (np.arange(count * 4) + rng.random(count * 4)) / (count * 4) * total[-1])
    u = np.sort(rng.random((len(pick), 2)), axis=1)
    weights = np.stack([u[:, 0], u[:, 1] - u[:, 0], 1 - u[:, 1]], -1)
    places = (corners[pick] * weights[..., None]).sum(1)
    values = (field[skin.faces[inside[pick]]] * weights).sum(1)
    good = values > inset
    places, vertex = places[good], skin.faces[inside[pick]][np.arange(len(pick)), weights.argmax(1)][good]
    # Of four times as many candidates keep those that lie far from each other.
    spacing = 0.72 * np.sqrt(total[-1] / 2 / count)
    kept: list[int] = []
    grid: dict[tuple[int, ...], list[int]] = {}
    for i in rng.permutation(len(places)):
        cell = tuple(np.floor(places[i] / spacing).astype(int))
        around = [j for d in np.ndindex(3, 3, 3) for j in grid.get((cell[0] + d[0] - 1, cell[1] + d[1] - 1, cell[2] + d[2] - 1), [])]
        if all(((places[i] - places[j]) ** 2).sum() > spacing**2 for j in around):
            kept.append(i)
            grid.setdefault(cell, []).append(i)
    return places[kept], vertex[kept]


def _paths(
    head: _Head,
    roots: np.ndarray,
    flow: Flow,
    length: np.ndarray,
    lift: np.ndarray,
    steps: int,
    rise: float = 0.35,
    floor: float | None = None,
) -> np.ndarray:
    """Grow centre lines (L, steps + 1, 3). lift (L,): height over the skin that a lock keeps; floor: y below which it ends."""
    places = roots.copy()
    _, normal = head.near(places)
    direction = normal.copy()
    path = [places - 0.0015 * normal]
    step = length / steps
    for k in range(steps):
        wanted = flow(places, normal, roots)
        wanted = wanted / np.maximum(np.linalg.norm(wanted, axis=-1, keepdims=True), 1e-9)
        share = rise if k == 0 else 0.65
        direction = (1 - share) * direction + share * wanted
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        moved = places + direction * step[:, None]
        if floor is not None:
            stay = moved[:, 1] < floor
            moved[stay] = places[stay] + direction[stay] * 0.15 * step[stay, None]
        height, normal = head.near(moved)
        target = lift * min(1.0, (k + 1) / 2.5)
        moved += normal * np.maximum(target - height, 0)[:, None]
        places = moved
        path.append(places)
    return np.stack(path, 1)


def _ribbons(head: _Head, paths: np.ndarray, width: np.ndarray, vertex: np.ndarray, rng: np.random.Generator, taper: float = 0.75) -> Locks:
    """Ribbons along centre lines (L, K, 3), at most `width` (L,) wide, rounded across, pointed at the end."""
    count, length = paths.shape[:2]
    tangent = np.gradient(paths, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-9)
    _, away = head.near(paths.reshape(-1, 3))
    away = away.reshape(paths.shape)
    twist = rng.normal(0, 0.25, (count, 1, 1))
    side = np.cross(tangent, away)
    side /= np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
    up = np.cross(side, tangent)
    side, up = np.cos(twist) * side + np.sin(twist) * up, np.cos(twist) * up - np.sin(twist) * side
    along = np.linspace(0, 1, length)
    profile = np.minimum(0.55 + 2.5 * along, 1) * np.where(
        along > taper, np.sqrt(np.maximum(1 - ((along - taper) / (1 - taper)) ** 2, 0.02)), 1
    )
    half = 0.5 * width[:, None] * profile
    across = np.array([-1.0, 0.0, 1.0])
    points = paths[:, :, None] + side[:, :, None] * (half[:, :, None] * across)[..., None]
    points += up[:, :, None] * (half[:, :, None] * 0.45 * (1 - across**2))[..., None]
    normals = up[:, :, None] + side[:, :, None] * (0.75 * across)[:, None]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    tangents = np.broadcast_to(tangent[:, :, None], points.shape)
    paper = np.empty((count, length, CROSS, 3))
    paper[..., 0], paper[..., 1] = across, along[None, :, None]
    paper[..., 2] = rng.random(count)[:, None, None]
    index = np.arange(count * length * CROSS).reshape(count, length, CROSS)
    a, b, c, d = index[:, :-1, :-1], index[:, :-1, 1:], index[:, 1:, :-1], index[:, 1:, 1:]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (b, d, c))])
    owner = np.repeat(vertex, length * CROSS)
    return Locks(points.reshape(-1, 3), normals.reshape(-1, 3), tangents.reshape(-1, 3).copy(), paper.reshape(-1, 3), faces, owner)


def _along(wanted: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The part of a direction that lies in the surface."""
    return wanted - (wanted * normal).sum(-1, keepdims=True) * normal


def _wander(places: np.ndarray, scale: float) -> np.ndarray:
    """A smooth vector field of unit size, so that neighbouring locks bend alike."""
    p = places / scale
    return np.stack(
        [
            np.sin(p[:, 1] * 1.3 + 2.1 * np.sin(p[:, 2])),
            np.sin(p[:, 2] * 1.1 + 1.7 * np.sin(p[:, 0])),
            np.sin(p[:, 0] * 1.2 + 1.9 * np.sin(p[:, 1])),
        ],
        -1,
    )


# -- styles ------------------------------------------------------------------------------------------------------------


def _short(person: Person, skin: Skin, field: np.ndarray, rng: np.random.Generator) -> list[Locks]:
    """Parted and combed aside on top, close at the sides."""
    head, part = _Head(skin), person.hair.part
    roots, vertex = _roots(skin, field, 900, rng)
    top = np.clip((roots[:, 1] - 0.055) / 0.04, 0, 1)
    length = person.hair.length * (0.27 + 0.73 * top) * rng.uniform(0.85, 1.1, len(roots))
    lift = 0.002 + 0.013 * top * rng.uniform(0.3, 1.0, len(roots))

    def flow(p: np.ndarray, n: np.ndarray, r: np.ndarray) -> np.ndarray:
        high = np.clip((np.minimum(r[:, 1:2], p[:, 1:2]) - 0.06) / 0.04, 0, 1)
        away = np.where(r[:, :1] > part, 1.0, -1.0)
        over = away * (1.0, 0.0, 0.0) + (0, 0.1, 0.45)
        down = np.where(r[:, 2:] > 0.0, 1.0, -0.6) * (0, 0, 0.25) + (0, -1.0, -0.35)
        return _along(high * over + (1 - high) * down, n) + 0.06 * n + 0.2 * _wander(p, 0.02)

    width = 0.0095 * rng.uniform(0.7, 1.2, len(roots))
    return [_ribbons(head, _paths(head, roots, flow, length, lift, 8, 0.75), width, vertex, rng)]


def _crop(person: Person, skin: Skin, field: np.ndarray, rng: np.random.Generator) -> list[Locks]:
    """Short all over, combed forward."""
    head = _Head(skin)
    roots, vertex = _roots(skin, field, 900, rng)
    length = person.hair.length * rng.uniform(0.8, 1.1, len(roots))

    def flow(p: np.ndarray, n: np.ndarray, r: np.ndarray) -> np.ndarray:
        crown = r - np.array([0.01, 0.12, -0.05])
        return _along(crown + np.array([0, 0, 0.03]), n) / 0.06 + 0.25 * n + 0.3 * _wander(p, 0.02)

    lift = 0.003 + 0.005 * rng.random(len(roots))
    width = 0.008 * rng.uniform(0.7, 1.2, len(roots))
    return [_ribbons(head, _paths(head, roots, flow, length, lift, 6, 0.5), width, vertex, rng)]


def _falling(
    person: Person, skin: Skin, field: np.ndarray, rng: np.random.Generator, floor: float, wave: float, curl: float
) -> list[Locks]:
    """Hair that leaves a parting and falls to the height `floor`. curl: how far the ends turn inwards."""
    head, part = _Head(skin, ears=True), person.hair.part
    roots, vertex = _roots(skin, field, 780, rng)
    beside = np.abs(roots[:, 0] - part) > 0.0025
    roots, vertex = roots[beside], vertex[beside]
    depth = rng.random(len(roots))
    length = (np.maximum(roots[:, 1] - floor, 0.04) + 0.075) * rng.uniform(0.96, 1.06, len(roots))
    inset = np.clip(field[vertex] / 0.025, 0.1, 1)
    lift = 0.003 + 0.014 * depth * inset

    def flow(p: np.ndarray, n: np.ndarray, r: np.ndarray) -> np.ndarray:
        away = np.tanh((r[:, :1] - part) / 0.004)
        back = np.where(r[:, 2:] > 0.03, -0.35, -0.15)
        over = away * (1.0, 0.0, 0.0) + np.concatenate([np.zeros_like(away), np.full_like(away, -0.25), back], -1)
        fall = np.array([0, -1.0, 0]) + away * np.array([0.05, 0, 0])
        free = np.clip((0.075 - p[:, 1:2]) / 0.06, 0, 1)
        # In front hair is kept beside the face, behind the cheeks.
        aside = np.clip(0.075 - np.abs(p[:, :1]), 0, 0.05) * 26 * (p[:, 2:] > 0.02) * (p[:, 1:2] < 0.085)
        guide = np.sign(p[:, :1] - 0.3 * part) * (1.0, 0, -0.5) * aside
        ends = np.clip((floor + 0.035 - p[:, 1:2]) / 0.035, 0, 1)
        inward = -p * (1, 0, 1) / 0.08
        bent = np.sin(p[:, 1:2] / 0.013 + 9 * _wander(r, 0.05)[:, :1]) * (away * (0.5, 0, 0) + (0, 0, 0.5))
        return _along(over, n) * (1 - free) + free * fall + guide + curl * ends * inward + wave * bent * free + 0.12 * _wander(p, 0.03)

    paths = _paths(head, roots, flow, length, lift, 16, 0.8, floor)
    return [_ribbons(head, paths, 0.0115 * rng.uniform(0.7, 1.25, len(roots)), vertex, rng, 0.82)]


def _bob(person: Person, skin: Skin, field: np.ndarray, rng: np.random.Generator) -> list[Locks]:
    return _falling(person, skin, field, rng, 0.03 - person.hair.length * 0.75, 0.05, 0.8)


def _long(person: Person, skin: Skin, field: np.ndarray, rng: np.random.Generator) -> list[Locks]:
    return _falling(person, skin, field, rng, 0.06 - person.hair.length, 0.32, 0.5)


def _bun(person: Person, skin: Skin, field: np.ndarray, rng: np.random.Generator) -> list[Locks]:
    """Combed tightly to the back of the crown, and wound up there."""
    head = _Head(skin)
    top = skin.points[:, 1].max()
    centre = np.array([0.0, top + 0.006, -0.060])
    roots, vertex = _roots(skin, field, 820, rng)
    length = np.linalg.norm(roots - centre, axis=-1) * 1.12
    lift = 0.002 + 0.004 * rng.random(len(roots)) * np.clip(field[vertex] / 0.03, 0.1, 1)

    def flow(p: np.ndarray, n: np.ndarray, r: np.ndarray) -> np.ndarray:
        return _along(centre - p, n) / 0.05 + 0.06 * _wander(p, 0.02)

    locks = [
        _ribbons(head, _paths(head, roots, flow, length, lift, 12, 0.95), 0.0085 * rng.uniform(0.7, 1.2, len(roots)), vertex, rng, 0.9)
    ]
    turns = 90
    axis = np.array([0.0, 0.75, -0.66])
    first = np.cross(axis, [1.0, 0, 0])
    second = np.cross(axis, first)
    start, tilt = rng.uniform(0, 2 * np.pi, turns), np.linspace(0.05, 0.95, turns) * np.pi / 2
    angle = start[:, None] + np.linspace(0, 2.2, 14)
    radius = 0.034
    polar = tilt[:, None] + 0.25 * np.sin(angle * 1.0 + start[:, None])
    ring = np.cos(angle)[..., None] * first + np.sin(angle)[..., None] * second
    paths = centre + axis * 0.012 + radius * (np.sin(polar)[..., None] * ring + np.cos(polar)[..., None] * axis)
    behind = np.full(turns, vertex[np.linalg.norm(roots - centre, axis=-1).argmin()])
    wound = _ribbons(_Ball(centre + axis * 0.012), paths, np.full(turns, 0.011), behind, rng, 0.9)  # type: ignore[arg-type]
    return [*locks, wound]


class _Ball:
    """A round thing to lie on, in place of the head."""

    def __init__(self, centre: np.ndarray) -> None:
        self.centre = centre

    def near(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = places - self.centre
        distance = np.linalg.norm(offset, axis=-1)
        return distance, offset / np.maximum(distance, 1e-9)[:, None]


def _curly(person: Person, skin: Skin, field: np.ndarray, rng: np.random.Generator) -> list[Locks]:
    """Small coils in every direction."""
    head = _Head(skin)
    roots, vertex = _roots(skin, field, 1000, rng)
    low = np.clip((0.05 - roots[:, 1]) / 0.08, 0, 1)
    length = person.hair.length * (1 - 0.55 * low) * rng.uniform(0.7, 1.1, len(roots))

    def flow(p: np.ndarray, n: np.ndarray, r: np.ndarray) -> np.ndarray:
        return n + 0.45 * _wander(r, 0.012)

    straight = _paths(head, roots, flow, length, np.full(len(roots), 0.002), 13, 1.0)
    phase, along = rng.uniform(0, 2 * np.pi, (len(roots), 1)), np.linspace(0, 1, straight.shape[1])
    angle = phase + along * 2 * np.pi * rng.uniform(1.6, 2.4, (len(roots), 1))
    size = 0.0062 * np.minimum(along * 3, 1)
    _, normal = head.near(roots)
    first = np.cross(normal, rng.normal(size=normal.shape))
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    second = np.cross(normal, first)
    coil = np.cos(angle)[..., None] * first[:, None] + np.sin(angle)[..., None] * second[:, None]
    paths = straight + size[None, :, None] * coil
    return [_ribbons(head, paths, 0.0075 * rng.uniform(0.8, 1.2, len(roots)), vertex, rng, 0.9)]


def _beard(skin: Skin, rng: np.random.Generator) -> Locks:
    """A trimmed full beard."""
    head = _Head(skin)
    field = jaw(skin.template)
    roots, vertex = _roots(skin, field, 1500, rng, 0.0005)
    edge = np.clip((-0.012 - roots[:, 1]) / 0.06, 0.1, 1)
    lip = (roots[:, 1] > -0.053) & (np.abs(roots[:, 0]) < 0.031)
    length = np.where(lip, 0.009, 0.009 + 0.016 * edge) * rng.uniform(0.8, 1.15, len(roots))

    def flow(p: np.ndarray, n: np.ndarray, r: np.ndarray) -> np.ndarray:
        above = (r[:, 1:2] > -0.053) & (np.abs(r[:, :1]) < 0.031)
        aside = np.tanh(r[:, :1] / 0.004) * (1.0, 0, 0) + (0, -0.38, 0)
        down = np.array([0, -1.0, 0.15]) - 0.15 * np.sign(r[:, :1]) * np.array([1.0, 0, 0])
        return _along(np.where(above, aside, down), n) + 0.05 * n + 0.2 * _wander(p, 0.012)

    lift = 0.001 + 0.006 * edge * rng.random(len(roots)) * np.where(lip, 0.3, 1)
    width = np.where(lip, 0.0028, 0.0036) * rng.uniform(0.7, 1.2, len(roots))
    return _ribbons(head, _paths(head, roots, flow, length, lift, 6, 0.85), width, vertex, rng, 0.6)


_STYLES = {"short": _short, "crop": _crop, "bob": _bob, "long": _long, "bun": _bun, "curly": _curly}
