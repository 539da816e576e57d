"""One frame of the cast: a lit triangle mesh in, an antialiased picture and its masks out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

SKIN, EYE, TEETH, TONGUE, LASH, HAIR, CLOTH, MOUTH = range(8)
"""Materials, as in `kernels`."""

SAMPLES = 2
"""Samples per side of a pixel; the shader counts on two."""
SHADOW_SIZE = 512
SHADOW_SPAN = 0.62


@dataclass(frozen=True)
class Lights:
    """Directions towards the lights in camera space (x right, y down, z forward) and their colours, linear."""

    key: tuple[float, float, float] = (-0.55, -0.55, -0.75)
    key_colour: tuple[float, float, float] = (1.75, 1.60, 1.42)
    fill: tuple[float, float, float] = (0.85, -0.15, -0.65)
    fill_colour: tuple[float, float, float] = (0.26, 0.31, 0.38)
    rim: tuple[float, float, float] = (0.6, -0.5, 0.65)
    rim_colour: tuple[float, float, float] = (0.9, 0.86, 0.82)
    sky: tuple[float, float, float] = (0.40, 0.42, 0.45)
    ground: tuple[float, float, float] = (0.20, 0.165, 0.145)


@dataclass(frozen=True)
class Surface:
    """What does not move of a person's mesh."""

    faces: np.ndarray
    """(F, 3) int32."""
    materials: np.ndarray
    """(F,) int32."""
    template: np.ndarray
    """(V, 3) float32 where each vertex lies on the paper that its colours are drawn on: the rig's template in metres for
    skin, eyes and clothes; (across, along, random number) for hair."""
    occlusion: np.ndarray
    """(V,) float32 openness in [0, 1]."""
    cap: np.ndarray
    """(V,) float32 how far the skin lies under hair, in [0, 1]."""
    torso: np.ndarray
    """(V,) float32 1 where a vertex belongs to the torso, 0 where to the head (hair and neck included)."""


@dataclass(frozen=True)
class Colours:
    """A person's colours (linear light)."""

    paint: np.ndarray
    """(N, N, 4) float32 skin albedo and shine over the template's front view."""
    relief: np.ndarray
    """(N, N, 4) float32 slope along x, slope along y, roughness, crease darkening."""
    paint_centre: tuple[float, float]
    iris: tuple[float, float, float]
    iris_edge: tuple[float, float, float]
    hair: tuple[float, float, float]
    beard: tuple[float, float, float]
    cap: tuple[float, float, float]
    """Scalp under hair."""
    cap_strength: float
    cloth: tuple[float, float, float]
    cloth_second: tuple[float, float, float]
    pattern: int
    eyes: np.ndarray
    """(2, 3) centres of the left and right eye on the template, metres."""
    oil: float = 1.0
    scatter: tuple[float, float, float] = (0.34, 0.16, 0.10)
    lights: Lights = field(default_factory=Lights)


class Camera:
    """A pinhole camera that films one person in front of a fixed backdrop. Not thread-safe; deterministic."""

    def __init__(self, surface: Surface, colours: Colours, backdrop: np.ndarray, focal: float) -> None:
        """backdrop: (S, S, 3) displayed linear light, also the picture's size; focal in pixels."""
        import warp as wp

        from castfield.cast import kernels, shader

        self._wp, self._k, self._shader = wp, kernels, shader
        self.size, self.focal = len(backdrop), focal
        self.surface = surface
        wide = self.size * SAMPLES

        def array(values: np.ndarray, dtype: Any) -> Any:
            return wp.array(np.ascontiguousarray(values), dtype=dtype, device="cpu")

        self._faces = array(surface.faces.astype(np.int32), wp.vec3i)
        self._materials = array(surface.materials.astype(np.int32), wp.int32)
        self._template = array(surface.template.astype(np.float32), wp.vec3)
        self._occlusion = array(surface.occlusion.astype(np.float32), wp.float32)
        self._cap = array(surface.cap.astype(np.float32), wp.float32)
        self._torso_share = array(surface.torso.astype(np.float32), wp.float32)
        self._paint = array(colours.paint.astype(np.float32), wp.vec4)
        self._relief = array(colours.relief.astype(np.float32), wp.vec4)
        self._backdrop = array(backdrop.astype(np.float32).reshape(-1, 3), wp.vec3)
        self._depth = wp.empty(wide * wide, dtype=wp.int64, device="cpu")
        self._shadow = wp.empty(SHADOW_SIZE**2, dtype=wp.int64, device="cpu")
        self._colour = wp.empty(wide * wide, dtype=wp.vec3, device="cpu")
        self._kind = wp.empty(wide * wide, dtype=wp.int32, device="cpu")
        self._picture = wp.empty(self.size**2, dtype=wp.vec3, device="cpu")
        self._head = wp.empty(self.size**2, dtype=wp.float32, device="cpu")
        self._torso = wp.empty(self.size**2, dtype=wp.float32, device="cpu")
        self._array = array
        self._look = self._make_look(colours)

    def _make_look(self, colours: Colours) -> Any:
        look = self._shader.Look()
        for name in ("key", "fill", "rim"):
            direction = np.asarray(getattr(colours.lights, name))
            setattr(look, name, self._wp.vec3(*(direction / np.linalg.norm(direction)).tolist()))
        for name in ("key_colour", "fill_colour", "rim_colour", "sky", "ground"):
            setattr(look, name, self._wp.vec3(*getattr(colours.lights, name)))
        for name in ("iris", "iris_edge", "hair", "beard", "cap", "cloth", "cloth_second", "scatter"):
            setattr(look, name, self._wp.vec3(*getattr(colours, name)))
        look.pattern, look.oil, look.cap_strength = colours.pattern, colours.oil, colours.cap_strength
        look.left_eye, look.right_eye = (self._wp.vec3(*eye.tolist()) for eye in colours.eyes)
        look.paint_centre = self._wp.vec2(*colours.paint_centre)
        return look

    def picture(self, points: np.ndarray, normals: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Film one moment.

        points, normals, tangents: (V, 3) in camera space -> picture (S, S, 3) uint8 with display gamma, and the shares
        of each pixel that show the head (hair and neck included) and the torso, (S, S) float32.
        """
        wp, k = self._wp, self._k
        wide = self.size * SAMPLES
        focal, middle = self.focal * SAMPLES, wide / 2
        screen = np.concatenate([focal * points[:, :2] / points[:, 2:] + middle, points[:, 2:]], -1).astype(np.float32)
        self._rasterize(screen, wide, self._depth)

        axes, origin = self._light_axes(points)
        local = (points - origin) @ axes.T
        scale = SHADOW_SIZE / SHADOW_SPAN
        from_light = np.concatenate([local[:, :2] * scale + SHADOW_SIZE / 2, local[:, 2:]], -1).astype(np.float32)
        self._rasterize(from_light, SHADOW_SIZE, self._shadow)

        inputs = [
            self._depth, wide, focal, wp.vec2(middle, middle), self._faces, self._materials,
            self._array(points.astype(np.float32), wp.vec3), self._array(normals.astype(np.float32), wp.vec3),
            self._array(tangents.astype(np.float32), wp.vec3), self._template, self._occlusion, self._cap,
            self._torso_share, self._paint, self._relief,
            wp.mat33(*axes.ravel().tolist()), wp.vec3(*origin.tolist()), SHADOW_SPAN, SHADOW_SIZE, self._shadow, self._look,
        ]  # fmt: skip
        wp.launch(self._shader.shade, dim=wide * wide, inputs=inputs, outputs=[self._colour, self._kind], device="cpu")
        wp.launch(
            k.resolve,
            dim=self.size**2,
            inputs=[self._colour, self._kind, self._backdrop, self.size, SAMPLES],
            outputs=[self._picture, self._head, self._torso],
            device="cpu",
        )
        shape = (self.size, self.size)
        picture = (self._picture.numpy().reshape(*shape, 3) * 255 + 0.5).clip(0, 255).astype(np.uint8)
        return picture, self._head.numpy().reshape(shape).copy(), self._torso.numpy().reshape(shape).copy()

    def _rasterize(self, screen: np.ndarray, side: int, depth: Any) -> None:
        wp, k = self._wp, self._k
        wp.launch(k.clear_depth, dim=side * side, inputs=[depth], device="cpu")
        inputs = [self._faces, self._materials, self._array(screen, wp.vec3), side, side, depth]
        wp.launch(k.rasterize, dim=len(self.surface.faces), inputs=inputs, device="cpu")

    def _light_axes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows: right, down and away as seen from the key light; and the point it looks at."""
        away = -np.array(list(self._look.key))
        right = np.cross([0.0, 1.0, 0.0], away)
        right /= np.linalg.norm(right)
        origin = np.median(points, 0)
        return np.stack([right, np.cross(away, right), away]), origin


def smooth_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) of vertices (V, 3): faces' normals added up by area."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    normal = np.cross(b - a, c - a)
    total = np.stack([np.bincount(faces.ravel(), np.repeat(normal[:, axis], 3), minlength=len(points)) for axis in range(3)], -1)
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)


def openness(points: np.ndarray, faces: np.ndarray, ask: np.ndarray, normals: np.ndarray, reach: float = 0.09) -> np.ndarray:
    """Ambient occlusion (N,) in [0, 1] at the vertices `ask` (N,) of a mesh, with normals (N, 3): 1 = open sky.

    48 directions over the sphere; whatever lies beyond `reach` metres does not count.
    """
    import warp as wp

    from castfield.cast import kernels

    at = np.arange(48) + 0.5
    height, turn = 1 - 2 * at / 48, np.pi * (1 + 5**0.5) * at
    sphere = np.stack([np.sqrt(1 - height**2) * np.cos(turn), height, np.sqrt(1 - height**2) * np.sin(turn)], -1)

    def vectors(values: np.ndarray) -> Any:
        return wp.array(np.ascontiguousarray(values, np.float32), dtype=wp.vec3, device="cpu")

    mesh = wp.Mesh(points=vectors(points), indices=wp.array(np.ascontiguousarray(faces, np.int32).ravel(), dtype=wp.int32, device="cpu"))
    escaped = wp.empty(len(ask), dtype=wp.float32, device="cpu")
    inputs = [mesh.id, vectors(points[ask]), vectors(normals), vectors(sphere), reach]
    wp.launch(kernels.count_escapes, dim=len(ask), inputs=inputs, outputs=[escaped], device="cpu")
    return escaped.numpy().copy()
