"""The colours of a face, drawn once per person on paper: the front view of the rig's template.

Whatever is drawn here sticks to the skin, because every vertex of every person knows where it lies on the template.
"""

from __future__ import annotations

import numpy as np

from castfield.cast.people import Person

SPAN = 0.26
"""Side of the paper in metres."""
SIDE = 640
"""Side of the paper in texels (0.4 mm each)."""
CENTRE = (0.0, -0.015)
"""Template coordinates of the paper's middle, metres."""

# Landmarks of the face mesh: outlines on the person's right; the left is its mirror.
_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_BROWS = (((70, 63, 105, 66, 107), (46, 53, 52, 65, 55)), ((300, 293, 334, 296, 336), (276, 283, 282, 295, 285)))
_UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
_LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))


def linear(colour: str) -> np.ndarray:
    """`#rrggbb` -> (3,) linear light."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def paint(person: Person, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw a person's face.

    landmarks: (478, 3) of the template at rest, metres. Returns paint (SIDE, SIDE, 4): albedo in linear light and shine; and
    relief (SIDE, SIDE, 4): slopes along x and y, roughness in [0, 1], crease.
    """
    page = _Page(person, landmarks[:, :2])
    page.complexion()
    page.lips()
    page.eyes()
    page.stubble()
    page.lines()
    page.brows()
    return page.finish()


class _Page:
    """The sheet while it is drawn on. Rows run down, so y is turned over."""

    def __init__(self, person: Person, landmarks: np.ndarray) -> None:
        self.person, self.face = person, person.face
        self.landmarks = landmarks
        self.rng = np.random.default_rng(person.seed + 1000)
        axis = (np.arange(SIDE) + 0.5) / SIDE - 0.5
        self.x, self.y = np.meshgrid(axis * SPAN + CENTRE[0], CENTRE[1] - axis * SPAN)
        self.albedo = np.ones((SIDE, SIDE, 3)) * linear(self.face.skin)
        self.shine = np.ones((SIDE, SIDE))
        self.rough = np.full((SIDE, SIDE), 0.55)
        self.height = np.zeros((SIDE, SIDE))
        self.crease = np.zeros((SIDE, SIDE))

    # -- tools ---------------------------------------------------------------------------------------------------------

    def texels(self, points: np.ndarray) -> np.ndarray:
        """Template points (..., 2) in texels."""
        flipped = np.stack([points[..., 0] - CENTRE[0], CENTRE[1] - points[..., 1]], -1)
        return (flipped / SPAN + 0.5) * SIDE

    def spot(self, x: float, y: float, rx: float, ry: float | None = None) -> np.ndarray:
        """A soft round patch of height 1."""
        return np.exp(-(((self.x - x) / rx) ** 2) - ((self.y - y) / (ry or rx)) ** 2)

    def pair(self, x: float, y: float, rx: float, ry: float | None = None) -> np.ndarray:
        return self.spot(x, y, rx, ry) + self.spot(-x, y, rx, ry)

    def noise(self, size: float) -> np.ndarray:
        """Smooth noise of unit variance with features of `size` metres."""
        sigma = size / SPAN * SIDE / 2
        field = _blur(self.rng.standard_normal((SIDE, SIDE)), sigma)
        return field / field.std()

    def polygon(self, points: np.ndarray, soft: float) -> np.ndarray:
        """Filled outline (N, 2) in metres with an edge of `soft` metres."""
        import cv2

        sheet = np.zeros((SIDE, SIDE), np.uint8)
        cv2.fillPoly(sheet, [np.round(self.texels(points) * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
        return _blur(sheet / 255.0, soft / SPAN * SIDE)

    def stroke(self, lines: list[np.ndarray], width: float, soft: float = 0.0) -> np.ndarray:
        """Poly-lines in metres, `width` metres wide, in [0, 1]."""
        import cv2

        fine = 4  # drawn larger, because the narrowest line of OpenCV is one texel
        sheet = np.zeros((SIDE * fine, SIDE * fine), np.uint8)
        thickness = max(1, round(width / SPAN * SIDE * fine))
        for line in lines:
            cv2.polylines(sheet, [np.round(self.texels(line) * fine * 16).astype(np.int32)], False, (255,), thickness, cv2.LINE_AA, 4)
        small = cv2.resize(sheet, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / 255.0
        return _blur(small, soft / SPAN * SIDE) if soft else small

    def blend(self, mask: np.ndarray, colour: np.ndarray) -> None:
        mask = np.clip(mask, 0, 1)[..., None]
        self.albedo = self.albedo * (1 - mask) + colour * mask

    def tint(self, mask: np.ndarray, factor: tuple[float, float, float]) -> None:
        """Multiply by `factor` where the mask is 1."""
        self.albedo = self.albedo * (1 + np.clip(mask, -1, 1.5)[..., None] * (np.array(factor) - 1))

    # -- layers --------------------------------------------------------------------------------------------------------

    def complexion(self) -> None:
        face, seen = self.face, self.landmarks
        nose = seen[1]
        self.tint(0.5 * self.noise(0.012), (0.975, 0.96, 0.955))
        self.tint(0.5 * self.noise(0.003), (0.985, 0.97, 0.965))
        blood = (1.02, 0.80, 0.80)
        self.tint(face.flush * (0.75 * self.pair(0.043, nose[1] - 0.002, 0.020, 0.016) + 0.5 * self.spot(0, nose[1] - 0.002, 0.013)), blood)
        self.tint(face.flush * (0.4 * self.pair(0.082, 0.0, 0.012, 0.035) + 0.25 * self.spot(0, seen[152][1] + 0.012, 0.018)), blood)
        socket = self.pair(0.031, seen[145][1] - 0.008, 0.015, 0.006)
        self.tint(socket * (0.6 + 0.5 * face.age), (0.90, 0.83, 0.86))
        self.tint(self.pair(0.031, seen[159][1] + 0.005, 0.017, 0.006), (0.93, 0.85, 0.85))
        self.shine += 0.5 * self.spot(0, nose[1] + 0.01, 0.012, 0.03) + 0.35 * self.spot(0, 0.065, 0.035, 0.018)
        self.rough -= 0.12 * self.spot(0, nose[1] + 0.01, 0.014, 0.03)
        freckles = self.noise(0.0022)
        where = np.clip(self.pair(0.038, nose[1] + 0.004, 0.024, 0.016) + self.spot(0, nose[1] + 0.012, 0.018), 0, 1)
        self.tint(face.freckles * where * np.clip((freckles - 1.3) * 1.6, 0, 1), (0.72, 0.60, 0.52))
        for _ in range(self.rng.integers(1, 4)):
            x, y = self.rng.choice((-1, 1)) * self.rng.uniform(0.024, 0.056), self.rng.uniform(-0.075, 0.06)
            self.tint(0.8 * self.spot(x, y, 0.0011), (0.45, 0.34, 0.30))
        self.height += 2.2e-5 * self.noise(0.0016) + 3.0e-5 * self.noise(0.004)

    def lips(self) -> None:
        outline = self.landmarks[list(_LIPS)]
        middle = outline.mean(0)
        mask = self.polygon(middle + (outline - middle) * (1.02, 1.06), 0.0009)
        colour = linear(self.face.lips)
        self.blend(0.88 * mask, colour * (1 + 0.06 * self.noise(0.002)[..., None]))
        self.rough -= 0.28 * mask
        self.shine += 0.7 * mask
        furrows = np.sin(self.x * 2600 + 2.2 * self.noise(0.004))
        self.height += mask * 3.0e-5 * furrows
        self.tint(self.stroke([outline[:11]], 0.0014, 0.0010) * 0.5, (0.93, 0.82, 0.80))

    def eyes(self) -> None:
        for upper, lower in zip(_UPPER_LIDS, _LOWER_LIDS, strict=True):
            top, low = self.landmarks[list(upper)], self.landmarks[list(lower)]
            edge = self.stroke([_curve(top)], 0.0016, 0.0006)
            self.tint(self.face.liner * edge * 1.3, (0.22, 0.17, 0.16))
            self.tint(0.35 * self.face.liner * self.stroke([_curve(low)], 0.0012, 0.0006), (0.40, 0.30, 0.28))
            fold = _curve(top + np.array([0, 0.0062]) * np.array([0.45, 0.75, 0.95, 1, 1, 1, 0.95, 0.85, 0.6])[:, None])
            self.tint(self.stroke([fold], 0.0010, 0.0009) * 1.2, (0.72, 0.58, 0.54))
            inner = top[-1] * np.array([0.93, 1])
            self.blend(0.55 * self.spot(inner[0], inner[1], 0.0022, 0.0015), linear("#b3706a"))

    def stubble(self) -> None:
        kind = self.person.hair.beard
        if kind == "none":
            return
        seen = self.landmarks
        jaw = np.clip(1.4 * self.spot(0, seen[152][1] + 0.004, 0.062, 0.036) - 0.25, 0, 1)
        lip = self.spot(0, seen[0][1] + 0.008, 0.028, 0.007)
        side = self.pair(0.066, -0.045, 0.018, 0.045)
        mask = np.clip(jaw + lip + side, 0, 1) * (1 - self.polygon(seen[list(_LIPS)] * (1, 1), 0.001))
        mask *= 1 - np.clip(1.3 * self.pair(0.036, -0.028, 0.020, 0.022), 0, 1)
        dots = np.clip(0.6 + 0.7 * self.noise(0.0009), 0, 1)
        amount = 0.35 if kind == "stubble" else 0.75
        self.blend(amount * mask * dots, linear(self.person.hair.beard_colour) * 0.6)

    def lines(self) -> None:
        """Lines of age as furrows: forehead, crow's feet, from the nose to the mouth, under the eyes."""
        age = self.face.age
        seen = self.landmarks
        furrows: list[tuple[np.ndarray, float]] = []
        span = np.linspace(-1, 1, 24)
        for k in range(3):
            y = 0.052 + 0.011 * k
            wave = 0.0016 * np.sin(3 * span + k) + 0.004 * span**2 * (k - 0.6)
            furrows.append((np.stack([span * (0.036 - 0.003 * k), y - wave], -1), 0.8 * age))
        for side in (-1, 1):
            bend = np.array([[0.0185, -0.018], [0.0245, -0.028], [0.0295, -0.042], [0.0310, -0.056]])
            furrows.append((_curve(bend * (side, 1)), 0.25 + 0.75 * age))
            corner = seen[33] * (-side, 1)
            for k in range(3):
                tip = corner + np.array([side * 0.013, -0.006 + 0.006 * k])
                start = corner + np.array([side * 0.003, -0.002 + 0.002 * k])
                furrows.append((np.stack([start, (start + tip) / 2 + (0, 0.0008), tip]), 0.7 * age))
            bag = np.array([[0.018, 0.004], [0.027, 0.0005], [0.037, 0.002], [0.044, 0.008]])
            furrows.append((_curve(bag * (side, 1)), 0.15 + 0.6 * age))
            furrows.append((np.array([[0.005, 0.030], [0.0062, 0.037], [0.0055, 0.044]]) * (side, 1), 0.6 * age))
        for line, depth in furrows:
            if depth > 0.02:
                mark = self.stroke([line], 0.0012, 0.0011)
                self.height -= 9e-4 * depth * mark
                self.tint(0.8 * depth * mark, (0.84, 0.70, 0.66))

    def brows(self) -> None:
        face, rng = self.face, self.rng
        colour = linear(face.brows)
        for side, (upper, lower) in enumerate(_BROWS):
            top, low = self.landmarks[list(upper)], self.landmarks[list(lower)]
            along = np.linspace(0, 1, 5)
            inward = 1.0 if side == 0 else -1.0
            hairs = []
            self.blend(0.34 * face.brow_weight * self.polygon(np.concatenate([_curve(top), _curve(low)[::-1]]), 0.0018), colour)
            for _ in range(int(260 * face.brow_weight)):
                s, across = rng.uniform(0, 1) ** 0.9, rng.uniform(0.05, 0.95)
                high = np.array([np.interp(s, along, top[:, c]) for c in (0, 1)])
                deep = np.array([np.interp(s, along, low[:, c]) for c in (0, 1)])
                root = deep + (high - deep) * across
                # s = 0 at the temple, 1 at the nose: hairs stand up there and lie along the brow further out.
                lie = np.array([-inward * (0.9 - 0.6 * s), 0.25 + 0.75 * s - 0.55 * (1 - s) * across])
                lie /= np.linalg.norm(lie)
                length = rng.uniform(0.0045, 0.0075) * (0.75 + 0.25 * face.brow_weight)
                bent = lie + np.array([-inward * 0.35, -0.15])
                hairs.append(np.stack([root, root + lie * length * 0.5, root + (lie + bent) * length * 0.5]))
            half = len(hairs) // 2
            self.blend(0.75 * self.stroke(hairs[:half], 0.00042), colour)
            self.blend(0.75 * self.stroke(hairs[half:], 0.00042), colour * 0.8)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        # Towards the paper's edge everything fades to bare skin, because the edge stands for what lies beyond.
        near = np.minimum(SPAN / 2 - np.abs(self.x - CENTRE[0]), SPAN / 2 - np.abs(self.y - CENTRE[1]))
        inside = np.clip(near / 0.012, 0, 1)[..., None]
        albedo = self.albedo * inside + linear(self.face.skin) * (1 - inside)
        texel = SPAN / SIDE
        slope_y, slope_x = np.gradient(self.height, texel)
        slopes = np.stack([slope_x, -slope_y], -1) * inside
        painted = np.concatenate([np.clip(albedo, 0, 1), np.clip(self.shine, 0, 3)[..., None]], -1)
        relief = np.concatenate([slopes, np.clip(self.rough, 0, 1)[..., None], self.crease[..., None]], -1)
        return painted.astype(np.float32), relief.astype(np.float32)


def _curve(points: np.ndarray, count: int = 24) -> np.ndarray:
    """A smooth curve (count, 2) through points (N, 2)."""
    from scipy.interpolate import CubicSpline

    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=-1))])
    return CubicSpline(length, points)(np.linspace(0, length[-1], count))


def _blur(sheet: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(sheet, sigma, mode="nearest")
