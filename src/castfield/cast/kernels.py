"""The cast's camera as warp kernels: a depth buffer, the average of samples, ambient occlusion. The shader is in `shader`.

Everything is in camera space (x right, y down, z forward; metres). Import this module late: importing it starts warp.
"""

# Warp reads these functions as its own language: array types are calls, and `float(0.0)` declares a variable.
# mypy: ignore-errors
# ruff: noqa: UP018

from __future__ import annotations

import warp as wp

from castfield.quiet import quiet
from castfield.scratch import scratch

wp.config.log_level = wp.LOG_ERROR  # no greeting, no word about a missing GPU
wp.config.kernel_cache_dir = str(scratch("warp"))
wp.set_module_options({"enable_backward": False})
with quiet():
    wp.init()

SKIN, EYE, TEETH, TONGUE, LASH, HAIR, CLOTH, MOUTH = (wp.constant(k) for k in range(8))


@wp.kernel
def clear_depth(depth: wp.array(dtype=wp.int64)):
    depth[wp.tid()] = wp.int64(9223372036854775807)


@wp.func
def row_start(value: float, slope: float, so_far: float):
    """First pixel, counted from the row's start, at which value + slope * pixel >= 0; at least `so_far`."""
    if slope > 1.0e-9:
        return wp.max(so_far, wp.floor(-value / slope))
    return so_far


@wp.func
def row_end(value: float, slope: float, so_far: float):
    """Last such pixel; at most `so_far`."""
    if slope < -1.0e-9:
        return wp.min(so_far, wp.ceil(-value / slope))
    return so_far


@wp.kernel
def rasterize(
    faces: wp.array(dtype=wp.vec3i),
    materials: wp.array(dtype=wp.int32),
    screen: wp.array(dtype=wp.vec3),
    width: int,
    height: int,
    depth: wp.array(dtype=wp.int64),
):
    """Keep the nearest face of each pixel. `screen` holds x and y in pixels and z; nearest = smallest z.

    Depth in steps of a micrometre and the face's number share one integer, so the winner does not depend on the order.
    """
    f = wp.tid()
    a = screen[faces[f][0]]
    b = screen[faces[f][1]]
    c = screen[faces[f][2]]
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if wp.abs(area) < 1.0e-9:
        return
    if area > 0.0 and materials[f] == SKIN:
        return  # skin is only ever seen from outside
    x0 = wp.max(int(wp.floor(wp.min(a[0], wp.min(b[0], c[0])) - 0.5)), 0)
    x1 = wp.min(int(wp.ceil(wp.max(a[0], wp.max(b[0], c[0])) - 0.5)), width - 1)
    y0 = wp.max(int(wp.floor(wp.min(a[1], wp.min(b[1], c[1])) - 0.5)), 0)
    y1 = wp.min(int(wp.ceil(wp.max(a[1], wp.max(b[1], c[1])) - 0.5)), height - 1)
    inverse = 1.0 / area
    # Weights grow by a constant from one pixel to the next in a row.
    du = (b[1] - c[1]) * inverse
    dv = (c[1] - a[1]) * inverse
    for y in range(y0, y1 + 1):
        py = float(y) + 0.5
        px = float(x0) + 0.5
        u0 = ((b[0] - px) * (c[1] - py) - (b[1] - py) * (c[0] - px)) * inverse
        v0 = ((c[0] - px) * (a[1] - py) - (c[1] - py) * (a[0] - px)) * inverse
        first = row_start(u0, du, row_start(v0, dv, row_start(1.0 - u0 - v0, -du - dv, 0.0)))
        last = row_end(u0, du, row_end(v0, dv, row_end(1.0 - u0 - v0, -du - dv, float(x1 - x0))))
        for k in range(int(first), int(last + 2.0)):
            u = u0 + du * float(k)
            v = v0 + dv * float(k)
            w = 1.0 - u - v
            if u >= 0.0 and v >= 0.0 and w >= 0.0 and x0 + k <= x1:
                z = u * a[2] + v * b[2] + w * c[2]
                packed = (wp.int64(z * 1.0e6 + 1.0e7) << wp.int64(32)) | wp.int64(f)
                wp.atomic_min(depth, y * width + x0 + k, packed)


@wp.func
def depth_of(packed: wp.int64):
    return (float(packed >> wp.int64(32)) - 1.0e7) * 1.0e-6


@wp.kernel
def resolve(
    colour: wp.array(dtype=wp.vec3),
    kind: wp.array(dtype=wp.int32),
    backdrop: wp.array(dtype=wp.vec3),
    width: int,
    samples: int,
    picture: wp.array(dtype=wp.vec3),
    head: wp.array(dtype=float),
    torso: wp.array(dtype=float),
):
    """Average samples x samples of the shaded points and the backdrop (all displayed linear light) into pixels with gamma."""
    i = wp.tid()
    x = i % width
    y = i / width
    total = wp.vec3(0.0, 0.0, 0.0)
    heads = float(0.0)
    torsos = float(0.0)
    counted = float(0.0)
    for v in range(samples):
        for u in range(samples):
            at = (y * samples + v) * width * samples + x * samples + u
            if kind[at] > -2:
                counted += 1.0
                if kind[at] < 0:
                    total += backdrop[i]
                else:
                    total += colour[at]
                    if kind[at] == 1:
                        torsos += 1.0
                    else:
                        heads += 1.0
    share = 1.0 / counted
    total = total * share
    head[i] = heads * share
    torso[i] = torsos * share
    picture[i] = wp.vec3(wp.pow(total[0], 0.4545), wp.pow(total[1], 0.4545), wp.pow(total[2], 0.4545))


@wp.kernel
def count_escapes(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    reach: float,
    escaped: wp.array(dtype=float),
):
    """Ambient occlusion: share of the directions over the surface, weighted by cosine, that leave it unhindered."""
    i = wp.tid()
    normal = normals[i]
    free = float(0.0)
    total = float(0.0)
    for k in range(directions.shape[0]):
        direction = directions[k]
        cosine = wp.dot(direction, normal)
        if cosine > 0.0:
            total += cosine
            query = wp.mesh_query_ray(mesh, points[i] + normal * 0.0008, direction, reach)
            if query.result:
                free += cosine * wp.smoothstep(0.0, reach, query.t)
            else:
                free += cosine
    escaped[i] = free / wp.max(total, 1.0e-6)
