"""What the cast wears: the torso's surface, cut along a neckline, moved outwards and smoothed, with a band or a collar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from castfield.cast.people import Person


@dataclass(frozen=True)
class Cloth:
    """A mesh of fabric; it moves with the torso."""

    points: np.ndarray
    """(V, 3) in the person's neutral space."""
    paper: np.ndarray
    """(V, 3) place on the template, for patterns."""
    follow: np.ndarray
    """(V,) how far it follows the head."""
    faces: np.ndarray
    """(F, 3)."""


def neckline(style: str, template: np.ndarray) -> np.ndarray:
    """Signed height (V,) in metres over the neckline of a garment: negative where there is cloth."""
    x, y, z = template.T
    slant = -0.113 - 0.34 * (z + 0.06) - 0.05 * np.abs(x)
    drop = {"crew": 0.0, "vee": 0.0, "roll": -0.004, "shirt": -0.004}[style]
    line = slant - drop
    if style in ("vee", "shirt"):
        depth = 0.062 if style == "vee" else 0.045
        line = line - depth * np.maximum(1 - np.abs(x) / 0.055, 0) * (z > 0)
    return y - line


def dress(person: Person, points: np.ndarray, template: np.ndarray, normals: np.ndarray, faces: np.ndarray, follow: np.ndarray) -> Cloth:
    """Clothes for a person. points, template, normals (V, 3), follow (V,); faces (F, 3) of neck and torso."""
    style = person.clothes.neck
    field = neckline(style, template)
    points = _lower_arms(points)
    values = np.concatenate([points, template, normals, follow[:, None]], 1)
    values, faces, rim = _cut(values, field, faces)
    base, paper, normal, weight = values[:, :3], values[:, 3:6], values[:, 6:9], values[:, 9]
    inward = -neckline(style, paper)
    normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    out = 0.0025 + 0.0065 * np.clip(inward / 0.03, 0, 1)
    shell = base + normal * out[:, None]
    smooth = _smooth(shell, faces, rim, 10)
    # Fabric hangs over hollows and never sinks into the body.
    inside = ((smooth - shell) * normal).sum(-1)
    smooth = smooth + normal * np.maximum(-inside - 0.003, 0)[:, None]
    fold = np.sin(paper[:, 0] * 62 + 9 * np.sin(paper[:, 1] * 21)) * np.sin(paper[:, 1] * 34 + 5 * paper[:, 0] + 7 * paper[:, 2])
    smooth = smooth + normal * (0.0022 * fold * np.clip(inward / 0.05, 0, 1))[:, None]
    body = Cloth(smooth, smooth, weight, faces)
    loop = _loop(faces, rim)
    pieces = [body]
    if len(loop) > 8:
        pieces.append(_collar(style, smooth[loop], paper[loop], normal[loop], weight[loop]))
    return _join(pieces)


def _lower_arms(points: np.ndarray, degrees: float = 30.0) -> np.ndarray:
    """Arms that stand off at rest, let down: a turn about the shoulder that sets in smoothly."""
    side = np.sign(points[:, 0])
    pivot = np.stack([0.150 * side, np.full(len(side), -0.215), np.zeros(len(side))], -1)
    share = np.clip((np.abs(points[:, 0]) - 0.115) / 0.10, 0, 1)
    angle = -side * np.radians(degrees) * share * share * (3 - 2 * share)
    x, y, z = (points - pivot).T
    return pivot + np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y, z], -1)


def _cut(values: np.ndarray, field: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the part of a mesh where field < 0: values (V', C), faces (F', 3) and which vertices lie on the cut (V',)."""
    below = field < 0
    made: dict[tuple[int, int], int] = {}
    extra: list[np.ndarray] = []
    kept: list[tuple[int, int, int]] = []

    def between(i: int, j: int) -> int:
        key = (min(i, j), max(i, j))
        if key not in made:
            share = field[key[0]] / (field[key[0]] - field[key[1]])
            made[key] = len(values) + len(extra)
            extra.append(values[key[0]] * (1 - share) + values[key[1]] * share)
        return made[key]

    for face in faces.tolist():
        ring: list[int] = []
        for a, b in zip(face, [*face[1:], face[0]], strict=True):
            if below[a]:
                ring.append(a)
            if below[a] != below[b]:
                ring.append(between(a, b))
        kept += [(ring[0], ring[k], ring[k + 1]) for k in range(1, len(ring) - 1)]
    whole = np.concatenate([values, np.array(extra).reshape(-1, values.shape[1])])
    used, renumbered = np.unique(np.array(kept), return_inverse=True)
    return whole[used], renumbered.reshape(-1, 3).astype(np.int64), used >= len(values)


def _smooth(points: np.ndarray, faces: np.ndarray, fixed: np.ndarray, rounds: int) -> np.ndarray:
    """Move each vertex towards its neighbours' mean; `fixed` ones and the mesh's border stay."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    unique, count = np.unique(np.sort(edges, 1), axis=0, return_counts=True)
    stay = fixed.copy()
    stay[np.unique(unique[count == 1])] = True
    both = np.concatenate([unique, unique[:, ::-1]])
    degree = np.bincount(both[:, 0], minlength=len(points))[:, None]
    for _ in range(rounds):
        mean = np.stack([np.bincount(both[:, 0], points[both[:, 1], c], minlength=len(points)) for c in range(3)], -1) / degree
        points = np.where(stay[:, None], points, 0.5 * points + 0.5 * mean)
    return points


def _loop(faces: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """The longest chain of cut vertices along the border, in order, closed."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    unique, count = np.unique(np.sort(edges, 1), axis=0, return_counts=True)
    border = unique[(count == 1) & rim[unique].all(1)]
    following: dict[int, list[int]] = {}
    for a, b in border.tolist():
        following.setdefault(a, []).append(b)
        following.setdefault(b, []).append(a)
    longest: list[int] = []
    seen: set[int] = set()
    for start in following:
        if start in seen:
            continue
        chain = [start]
        seen.add(start)
        while True:
            onward = [n for n in following[chain[-1]] if n not in seen]
            if not onward:
                break
            chain.append(onward[0])
            seen.add(onward[0])
        if len(chain) > len(longest):
            longest = chain
    return np.array(longest, dtype=np.int64)


def _collar(style: str, points: np.ndarray, paper: np.ndarray, normal: np.ndarray, follow: np.ndarray) -> Cloth:
    """A rolled band along the neckline, or a folded collar."""
    count = 120
    turn = np.unwrap(np.arctan2(points[:, 0] - points[:, 0].mean(), points[:, 2] - points[:, 2].mean()))
    if turn[-1] < turn[0]:
        points, paper, normal, follow, turn = points[::-1], paper[::-1], normal[::-1], follow[::-1], turn[::-1]
    closed = np.concatenate([np.arange(len(points)), [0]])
    step = np.linalg.norm(np.diff(points[closed], axis=0), axis=-1)
    length = np.concatenate([[0], np.cumsum(step)])
    at = np.linspace(0, length[-1], count, endpoint=False)
    values = np.concatenate([points, paper, normal, follow[:, None]], 1)[closed]
    values = np.stack([np.interp(at, length, column) for column in values.T], -1)
    for _ in range(6):  # an even line
        values = 0.5 * values + 0.25 * (np.roll(values, 1, 0) + np.roll(values, -1, 0))
    base, sheet, out, weight = values[:, :3], values[:, 3:6], values[:, 6:9], values[:, 9]
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    tangent = np.roll(base, -1, 0) - np.roll(base, 1, 0)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
    up = np.cross(tangent, out)
    up *= np.sign(up[:, 1].mean())
    profile = _PROFILES[style]
    front = np.arctan2(base[:, 0], base[:, 2] - base[:, 2].mean())
    rows = []
    for height, away in profile:
        rise = np.full(count, 0.001 * height)
        reach = np.full(count, 0.001 * away)
        if style == "shirt":  # the two points of the collar, and the gap between them
            point = np.exp(-(((np.abs(front) - 0.42) / 0.30) ** 2))
            if height < 0:
                rise = rise - 0.016 * point
                reach = reach + 0.003 * point
            closing = np.clip((np.abs(front) - 0.05) / 0.25, 0, 1)
            rise = rise * (0.35 + 0.65 * closing) if height > 0 else rise
        rows.append(base + up * rise[:, None] + out * reach[:, None])
    if _inside_out(rows, out):
        rows = rows[::-1]
    rings = len(rows)
    index = np.arange(rings * count).reshape(rings, count)
    a, b = index[:-1], np.roll(index, -1, 1)[:-1]
    c, d = index[1:], np.roll(index, -1, 1)[1:]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (b, d, c))])
    lengthwise = np.tile(at, rings)
    across = np.repeat([0.004 * k for k in range(rings)], count)
    pattern = np.stack([lengthwise, across, np.zeros(rings * count)], -1) if style != "shirt" else np.tile(sheet, (rings, 1))
    return Cloth(np.concatenate(rows), pattern, np.tile(weight, rings), faces)


def _inside_out(rows: list[np.ndarray], out: np.ndarray) -> bool:
    """Whether faces built from these rows would look inwards."""
    middle = len(rows) // 2 + 1
    along, across = np.roll(rows[middle], -1, 0) - rows[middle], rows[middle + 1] - rows[middle]
    return bool((np.cross(along, across) * out).sum() < 0)


_PROFILES = {
    # (up along the neck, away from the skin) in millimetres, from the inside of the neckline to its outside
    "crew": ((-2, -2), (5, -1), (9, 1.5), (9.5, 4), (6, 6.5), (0, 6.5), (-6, 4), (-10, 0)),
    "vee": ((-2, -2), (4, -1), (8, 1), (8.5, 3), (5, 5), (0, 5), (-7, 3.5), (-12, 0)),
    "roll": ((-4, -2), (8, 0), (18, 2), (22, 5), (23, 8), (19, 11), (9, 12), (-4, 11), (-12, 4)),
    "shirt": ((-4, -2), (10, 1), (22, 3), (27, 6), (25, 9), (12, 12), (-4, 12)),
}  # fmt: skip


def _join(pieces: list[Cloth]) -> Cloth:
    starts = np.cumsum([0, *(len(p.points) for p in pieces)])
    return Cloth(
        np.concatenate([p.points for p in pieces]),
        np.concatenate([p.paper for p in pieces]),
        np.concatenate([p.follow for p in pieces]),
        np.concatenate([p.faces + s for p, s in zip(pieces, starts, strict=False)]),
    )
