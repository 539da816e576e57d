"""Ray casting of triangle meshes through a pinhole camera, on the CPU (warp's bounding volume hierarchy).

For more than one sample a pixel ask for a larger picture and average it.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any, no_type_check

import numpy as np

from castfield.quiet import quiet
from castfield.scratch import scratch


@dataclass(frozen=True)
class Hits:
    """What each pixel's ray meets first."""

    face: np.ndarray
    """(H, W) int32 index into the faces; -1 where the ray meets nothing."""
    barycentric: np.ndarray
    """(H, W, 3) float32 weights of the face's three corners; 0 where nothing is met."""
    depth: np.ndarray
    """(H, W) float32 z in camera space, metres; infinite where nothing is met."""

    def interpolate(self, faces: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Vertex values (V, C) carried to the N pixels that meet something, row by row: (N, C)."""
        met = self.face >= 0
        weight, corner = self.barycentric[met], faces[self.face[met]]
        return weight[:, :1] * values[corner[:, 0]] + weight[:, 1:2] * values[corner[:, 1]] + weight[:, 2:] * values[corner[:, 2]]


class RayCaster:
    """A triangle mesh that may change its shape between casts; its faces stay.

    `cast` takes the vertices at every call and only refits the hierarchy, so a moving face costs little.
    """

    def __init__(self, faces: np.ndarray) -> None:
        """faces: (F, 3) vertex indices."""
        self.faces = np.ascontiguousarray(faces, dtype=np.int32)
        self._mesh: Any = None
        _engine()  # begins here, where there is one thread: while it does, the process is silent

    def cast(
        self,
        vertices: np.ndarray,
        rotation: np.ndarray,
        translation: np.ndarray,
        focal: float,
        centre: tuple[float, float],
        size: tuple[int, int],
    ) -> Hits:
        """First hits of all pixels' rays.

        vertices (V, 3) metres, in the space that rotation (3, 3) and translation (3,) map to camera space; focal and
        centre (x, y) in pixels; size: (height, width). See `castfield.geometry` for the axes.
        """
        height, width = size
        x = (np.arange(width) + 0.5 - centre[0]) / focal
        y = (np.arange(height) + 0.5 - centre[1]) / focal
        directions = np.stack([*np.meshgrid(x, y), np.ones((height, width))], -1).reshape(-1, 3)
        face, barycentric, depth = self.cast_rays(vertices, rotation, translation, directions)
        return Hits(face.reshape(size), barycentric.reshape(*size, 3), depth.reshape(size))

    def cast_pixels(
        self,
        vertices: np.ndarray,
        rotation: np.ndarray,
        translation: np.ndarray,
        focal: float,
        centre: tuple[float, float],
        pixels: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Like `cast` for single points (N, 2) in pixels: face (N,), barycentric (N, 3), depth (N,)."""
        directions = np.concatenate([(pixels - np.asarray(centre)) / focal, np.ones((len(pixels), 1))], -1)
        return self.cast_rays(vertices, rotation, translation, directions)

    def cast_rays(
        self, vertices: np.ndarray, rotation: np.ndarray, translation: np.ndarray, directions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rays from the camera's centre along directions (N, 3) in camera space with z = 1."""
        warp, kernel = _engine()
        points = np.ascontiguousarray(vertices, dtype=np.float32)
        if self._mesh is None:
            self._mesh = warp.Mesh(
                points=warp.array(points, dtype=warp.vec3, device="cpu"),
                indices=warp.array(self.faces.ravel(), dtype=warp.int32, device="cpu"),
            )
        else:
            self._mesh.points.assign(points)
            self._mesh.refit()
        inverse = np.asarray(rotation, dtype=np.float64).T
        length = np.linalg.norm(directions, axis=-1)
        rays = np.ascontiguousarray(directions / length[:, None] @ inverse.T, dtype=np.float32)
        origin = warp.vec3(*(-inverse @ np.asarray(translation, dtype=np.float64)).tolist())
        count = len(rays)
        face = warp.empty(count, dtype=warp.int32, device="cpu")
        hit = warp.empty(count, dtype=warp.vec3, device="cpu")
        inputs = [self._mesh.id, origin, warp.array(rays, dtype=warp.vec3, device="cpu")]
        warp.launch(kernel, dim=count, inputs=inputs, outputs=[face, hit], device="cpu")
        faces, (u, v, distance) = face.numpy(), hit.numpy().T
        met = faces >= 0
        barycentric = np.where(met[:, None], np.stack([u, v, 1 - u - v], -1), 0).astype(np.float32)
        depth = np.where(met, distance / length, np.inf).astype(np.float32)
        return faces, barycentric, depth


@functools.cache
def _engine() -> tuple[Any, Any]:
    """warp and the kernel, compiled at the first use (its cache lies in the scratch folder)."""
    warp: Any = importlib.import_module("warp")
    warp.config.log_level = warp.LOG_ERROR
    warp.config.kernel_cache_dir = str(scratch("warp"))
    with quiet():
        warp.init()

    @warp.kernel
    @no_type_check
    def first_hit(
        mesh: warp.uint64,
        origin: warp.vec3,
        rays: warp.array(dtype=warp.vec3),
        face: warp.array(dtype=warp.int32),
        hit: warp.array(dtype=warp.vec3),
    ):
        i = warp.tid()
        query = warp.mesh_query_ray(mesh, origin, rays[i], 1.0e6)
        if query.result:
            face[i] = query.face
            hit[i] = warp.vec3(query.u, query.v, query.t)
        else:
            face[i] = -1
            hit[i] = warp.vec3(0.0, 0.0, 0.0)

    return warp, first_hit
