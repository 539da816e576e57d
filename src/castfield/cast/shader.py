"""The shader of the cast: soft lights on skin, eyes, hair and cloth, one branch per material.

Everything is in camera space (x right, y down, z forward; metres). Import this module late: importing it starts warp.
"""

# Warp reads these functions as its own language: array types are calls, and `float(0.0)` declares a variable.
# mypy: ignore-errors
# ruff: noqa: UP018, SIM102, SIM109

from __future__ import annotations

import warp as wp

from castfield.cast.kernels import CLOTH, EYE, HAIR, LASH, MOUTH, SKIN, TEETH, TONGUE, depth_of

wp.set_module_options({"enable_backward": False})

PAINT_SPAN = wp.constant(0.26)
"""Side of the square, in metres of the template, that a paint texture covers."""


@wp.struct
class Look:
    """What the shader needs to know of a person and the light."""

    key: wp.vec3
    fill: wp.vec3
    rim: wp.vec3
    key_colour: wp.vec3
    fill_colour: wp.vec3
    rim_colour: wp.vec3
    sky: wp.vec3
    ground: wp.vec3
    iris: wp.vec3
    iris_edge: wp.vec3
    hair: wp.vec3
    beard: wp.vec3
    cap: wp.vec3
    cap_strength: float
    cloth: wp.vec3
    cloth_second: wp.vec3
    pattern: int
    left_eye: wp.vec3
    right_eye: wp.vec3
    paint_centre: wp.vec2
    oil: float
    scatter: wp.vec3


@wp.func
def lit(point: wp.vec3, axes: wp.mat33, origin: wp.vec3, span: float, size: int, shadow: wp.array(dtype=wp.int64)):
    """Share of the key light that reaches `point`: 4 x 4 comparisons with the depth seen from the light."""
    local = axes * (point - origin)
    scale = float(size) / span
    x = local[0] * scale + 0.5 * float(size)
    y = local[1] * scale + 0.5 * float(size)
    seen = float(0.0)
    for j in range(4):
        for i in range(4):
            xi = int(x + 1.9 * (float(i) - 1.5))
            yi = int(y + 1.9 * (float(j) - 1.5))
            if xi < 0 or yi < 0 or xi >= size or yi >= size:
                seen += 1.0
            else:
                gap = local[2] - depth_of(shadow[yi * size + xi])
                seen += 1.0 - wp.smoothstep(0.004, 0.009, gap)
    return seen / 16.0


@wp.func
def hash1(n: float):
    s = wp.sin(n * 12.9898) * 43758.547
    return s - wp.floor(s)


@wp.func
def noise2(x: float, y: float):
    """Value noise in [0, 1]."""
    xf = wp.floor(x)
    yf = wp.floor(y)
    u = wp.smoothstep(0.0, 1.0, x - xf)
    v = wp.smoothstep(0.0, 1.0, y - yf)
    n = xf + 57.0 * yf
    top = wp.lerp(hash1(n), hash1(n + 1.0), u)
    low = wp.lerp(hash1(n + 57.0), hash1(n + 58.0), u)
    return wp.lerp(top, low, v)


@wp.func
def paint_at(paint: wp.array(dtype=wp.vec4, ndim=2), x: float, y: float):
    """Bilinear look-up; x, y in [0, 1]."""
    height = paint.shape[0]
    width = paint.shape[1]
    px = wp.clamp(x * float(width) - 0.5, 0.0, float(width) - 1.001)
    py = wp.clamp(y * float(height) - 0.5, 0.0, float(height) - 1.001)
    ix = int(px)
    iy = int(py)
    fx = px - float(ix)
    fy = py - float(iy)
    top = paint[iy, ix] * (1.0 - fx) + paint[iy, ix + 1] * fx
    low = paint[iy + 1, ix] * (1.0 - fx) + paint[iy + 1, ix + 1] * fx
    return top * (1.0 - fy) + low * fy


@wp.func
def wrapped(cosine: float, wrap: float):
    """Diffuse light that creeps round the terminator by `wrap`, energy kept."""
    return wp.max(cosine + wrap, 0.0) / ((1.0 + wrap) * (1.0 + wrap))


@wp.func
def gloss(normal: wp.vec3, half: wp.vec3, view: wp.vec3, roughness: float, f0: float):
    """GGX highlight with Schlick's Fresnel term, times the cosine's usual normalisation."""
    a2 = roughness * roughness * roughness * roughness
    nh = wp.max(wp.dot(normal, half), 0.0)
    d = nh * nh * (a2 - 1.0) + 1.0
    fresnel = f0 + (1.0 - f0) * wp.pow(1.0 - wp.max(wp.dot(half, view), 0.0), 5.0)
    return 0.25 * a2 / (3.1416 * d * d + 1.0e-6) * fresnel


@wp.func
def strand(tangent: wp.vec3, half: wp.vec3, power: float):
    """Kajiya and Kay's highlight of a thin cylinder."""
    t = wp.dot(tangent, half)
    return wp.pow(wp.sqrt(wp.max(1.0 - t * t, 0.0)), power)


@wp.func
def tone(x: float):
    """A gentle shoulder: linear light to displayed linear light in [0, 1]; the identity in the shadows."""
    return wp.clamp(x * (1.0 + 0.12 * x) / (1.0 + 0.42 * x), 0.0, 1.0) * 1.02


@wp.kernel
def shade(
    depth: wp.array(dtype=wp.int64),
    width: int,
    focal: float,
    centre: wp.vec2,
    faces: wp.array(dtype=wp.vec3i),
    materials: wp.array(dtype=wp.int32),
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    tangents: wp.array(dtype=wp.vec3),
    onpaper: wp.array(dtype=wp.vec3),
    occlusion: wp.array(dtype=float),
    cap: wp.array(dtype=float),
    torso_share: wp.array(dtype=float),
    paint: wp.array(dtype=wp.vec4, ndim=2),
    relief: wp.array(dtype=wp.vec4, ndim=2),
    light_axes: wp.mat33,
    light_origin: wp.vec3,
    light_span: float,
    light_size: int,
    shadow: wp.array(dtype=wp.int64),
    look: Look,
    colour: wp.array(dtype=wp.vec3),
    kind: wp.array(dtype=wp.int32),
):
    i = wp.tid()
    packed = depth[i]
    if packed == wp.int64(9223372036854775807):
        kind[i] = -1
        return
    f = int(packed & wp.int64(4294967295))
    material = materials[f]
    # Where a whole 2 x 2 pixel shows one smooth surface, two of its samples are enough.
    xi = i % width
    yi = i / width
    if material == SKIN or material == CLOTH:
        if (xi + yi) % 2 == 1:
            corner = (yi - yi % 2) * width + xi - xi % 2
            same = int(0)
            for k in range(4):
                other = depth[corner + (k / 2) * width + k % 2]
                if other != wp.int64(9223372036854775807):
                    if materials[int(other & wp.int64(4294967295))] == material:
                        same += 1
            if same == 4:
                kind[i] = -2
                return
    ia = faces[f][0]
    ib = faces[f][1]
    ic = faces[f][2]
    a = points[ia]
    b = points[ib]
    c = points[ic]
    px = (float(xi) + 0.5 - centre[0]) / focal
    py = (float(yi) + 0.5 - centre[1]) / focal
    ray = wp.vec3(px, py, 1.0)
    # Barycentric weights of the ray in the plane of the face.
    face_normal = wp.cross(b - a, c - a)
    area = wp.dot(face_normal, face_normal) + 1.0e-20
    distance = wp.dot(a, face_normal) / (wp.dot(ray, face_normal) + 1.0e-20)
    point = ray * distance
    u = wp.dot(wp.cross(c - b, point - b), face_normal) / area
    v = wp.dot(wp.cross(a - c, point - c), face_normal) / area
    u = wp.clamp(u, 0.0, 1.0)
    v = wp.clamp(v, 0.0, 1.0 - u)
    w = 1.0 - u - v
    point = a * u + b * v + c * w
    normal = wp.normalize(normals[ia] * u + normals[ib] * v + normals[ic] * w)
    paper = onpaper[ia] * u + onpaper[ib] * v + onpaper[ic] * w
    ao = occlusion[ia] * u + occlusion[ib] * v + occlusion[ic] * w
    view = -wp.normalize(point)
    if wp.dot(normal, view) < 0.0 and material != EYE:
        normal = wp.normalize(normal - view * (1.02 * wp.dot(normal, view)))
    kind[i] = 0
    if material == CLOTH or torso_share[ia] + torso_share[ib] + torso_share[ic] > 1.5:
        kind[i] = 1

    albedo = wp.vec3(0.5, 0.5, 0.5)
    rough = float(0.5)
    f0 = float(0.035)
    shine = float(1.0)
    wrap = look.scatter
    if material == SKIN:
        x = (paper[0] - look.paint_centre[0]) / PAINT_SPAN + 0.5
        y = (look.paint_centre[1] - paper[1]) / PAINT_SPAN + 0.5
        texel = paint_at(paint, x, y)
        bump = paint_at(relief, x, y)
        albedo = wp.vec3(texel[0], texel[1], texel[2])
        shine = texel[3] * look.oil
        shaded = cap[ia] * u + cap[ib] * v + cap[ic] * w
        shaded = wp.smoothstep(0.0, 1.0, shaded + 0.5 * (noise2(paper[0] * 900.0, paper[1] * 900.0 + paper[2] * 600.0) - 0.5))
        albedo = wp.lerp(albedo, look.cap, shaded * look.cap_strength)
        shine = shine * (1.0 - 0.8 * shaded * look.cap_strength)
        rough = 0.30 + 0.32 * bump[2]
        # The relief's slopes are along the template's x and y; turned into the skin as it lies now.
        ta = points[ib] - points[ia]
        tb = points[ic] - points[ia]
        da = onpaper[ib] - onpaper[ia]
        db = onpaper[ic] - onpaper[ia]
        det = da[0] * db[1] - da[1] * db[0]
        if wp.abs(det) > 1.0e-9:
            along_x = (ta * db[1] - tb * da[1]) / det
            along_y = (tb * da[0] - ta * db[0]) / det
            normal = wp.normalize(normal - wp.normalize(along_x) * bump[0] - wp.normalize(along_y) * bump[1])
        albedo = albedo * (1.0 - 0.9 * bump[3] * (1.0 - wp.smoothstep(0.0, 0.5, ao)))
    elif material == EYE:
        centre_eye = look.right_eye
        if paper[0] > 0.0:
            centre_eye = look.left_eye
        off = paper - centre_eye
        radius = wp.sqrt(off[0] * off[0] + off[1] * off[1])
        angle = wp.atan2(off[1], off[0])
        if off[2] < 0.0:
            radius = 0.02
        streaks = noise2(angle * 9.0 + 40.0, radius * 900.0) * 0.5 + noise2(angle * 22.0 + 90.0, radius * 500.0) * 0.5
        inner = wp.smoothstep(0.0017, 0.0045, radius)
        iris = look.iris * (0.40 + 0.55 * streaks) * (1.30 - 0.45 * inner)
        iris = wp.lerp(iris, look.iris_edge, wp.smoothstep(0.0046, 0.0059, radius))
        iris = iris * wp.smoothstep(0.0017, 0.0022, radius)
        vein = noise2(paper[0] * 900.0, paper[1] * 1600.0)
        white = wp.vec3(0.80, 0.77, 0.74) - wp.vec3(0.0, 0.06, 0.05) * (wp.smoothstep(0.006, 0.013, radius) * (0.6 + 0.6 * vein))
        albedo = wp.lerp(iris, white, wp.smoothstep(0.0056, 0.0063, radius))
        rough = 0.13
        f0 = 0.04
        shine = 1.6
        wrap = wp.vec3(0.25, 0.22, 0.2)
    elif material == TEETH:
        albedo = wp.vec3(0.78, 0.74, 0.66)
        rough = 0.25
        wrap = wp.vec3(0.3, 0.28, 0.25)
    elif material == TONGUE:
        albedo = wp.vec3(0.46, 0.135, 0.12)
        rough = 0.35
        shine = 0.35
    elif material == MOUTH:
        albedo = wp.vec3(0.34, 0.085, 0.075)
        rough = 0.3
        shine = 0.25
    elif material == LASH:
        albedo = wp.vec3(0.020, 0.016, 0.014)
        shine = 0.2
    elif material == CLOTH:
        albedo = look.cloth
        if look.pattern == 1:  # knitted ribs
            albedo = albedo * (0.86 + 0.2 * wp.abs(wp.sin(paper[0] * 900.0)))
        elif look.pattern == 2:  # stripes
            albedo = wp.lerp(look.cloth, look.cloth_second, wp.smoothstep(0.1, 0.3, wp.sin(paper[1] * 330.0 + 40.0 * paper[2])))
        elif look.pattern == 3:  # a check
            line = wp.max(
                wp.smoothstep(0.8, 0.95, wp.sin(paper[0] * 260.0)), wp.smoothstep(0.8, 0.95, wp.sin(paper[1] * 260.0 + 90.0 * paper[2]))
            )
            albedo = wp.lerp(look.cloth, look.cloth_second, 0.8 * line)
        albedo = albedo * (0.92 + 0.16 * noise2(paper[0] * 1500.0, paper[1] * 1500.0 + paper[2] * 700.0))
        rough = 0.75
        shine = 0.5
        wrap = wp.vec3(0.12, 0.12, 0.12)

    visible = lit(point, light_axes, light_origin, light_span, light_size, shadow)
    half = wp.normalize(look.key + view)
    light = wp.vec3(0.0, 0.0, 0.0)
    if material == HAIR:
        tangent = wp.normalize(tangents[ia] * u + tangents[ib] * v + tangents[ic] * w)
        # paper = (across in [-1, 1], along in [0, 1], a random number of the lock)
        fine = noise2(paper[0] * 9.0 + paper[2] * 91.0, paper[1] * 1.5 + paper[2] * 17.0)
        coarse = noise2(paper[0] * 3.0 + paper[2] * 57.0, paper[1] * 2.0)
        colour_of = look.hair
        number = paper[2]
        if number > 1.5:  # locks of the beard are numbered from 2 on
            colour_of = look.beard
            number = number - 2.0
        base = colour_of * (0.55 + 0.55 * fine + 0.25 * coarse + 0.35 * (number - 0.5))
        base = base * (0.55 + 0.45 * wp.smoothstep(0.0, 0.35, paper[1]))
        shift = wp.normalize(tangent + normal * (0.35 * (fine - 0.5) - 0.08))
        shift2 = wp.normalize(tangent + normal * (0.5 * (fine - 0.5) + 0.16))
        soft = 0.25 + 0.75 * visible
        kd = wrapped(wp.dot(normal, look.key), 0.45) * soft
        fd = wrapped(wp.dot(normal, look.fill), 0.5)
        up = 0.5 - 0.5 * normal[1]
        light = wp.cw_mul(base, look.key_colour * kd + look.fill_colour * fd + wp.lerp(look.ground, look.sky, up) * ao)
        bright = 0.045 * strand(shift, half, 60.0) * kd
        tinted = 0.8 * strand(shift2, half, 18.0) * kd
        light += look.key_colour * bright + wp.cw_mul(look.key_colour, base) * tinted
        edge = wp.pow(1.0 - wp.max(wp.dot(normal, view), 0.0), 3.0) * wp.max(wp.dot(normal, look.rim) + 0.3, 0.0)
        light += wp.cw_mul(look.rim_colour, base * 0.9 + wp.vec3(0.03, 0.03, 0.03)) * edge * 1.6
        light = light * (0.35 + 0.65 * ao)
    else:
        nk = wp.dot(normal, look.key)
        nf = wp.dot(normal, look.fill)
        nr = wp.dot(normal, look.rim)
        # Shadow edges bleed red on skin: the warm channel sees a wider light than the blue one.
        open_r = wp.pow(visible, 1.0 - 0.9 * wrap[0])
        open_b = wp.pow(visible, 1.0 + 0.5 * wrap[0])
        diffuse = wp.vec3(wrapped(nk, wrap[0]) * open_r, wrapped(nk, wrap[1]) * visible, wrapped(nk, wrap[2]) * open_b)
        light = wp.cw_mul(look.key_colour, diffuse)
        light += wp.cw_mul(look.fill_colour, wp.vec3(wrapped(nf, wrap[0]), wrapped(nf, wrap[1]), wrapped(nf, wrap[2]))) * (0.35 + 0.65 * ao)
        light += look.rim_colour * (wrapped(nr, 0.1) * ao)
        warm = wp.vec3(wp.pow(ao, 0.75), ao, wp.pow(ao, 1.1))
        light += wp.cw_mul(wp.lerp(look.ground, look.sky, 0.5 - 0.5 * normal[1]), warm)
        light = wp.cw_mul(albedo, light)
        spec = look.key_colour * (gloss(normal, half, view, rough, f0) * wp.max(nk, 0.0) * visible)
        spec += look.fill_colour * (gloss(normal, wp.normalize(look.fill + view), view, rough, f0) * wp.max(nf, 0.0) * ao)
        spec += look.rim_colour * (gloss(normal, wp.normalize(look.rim + view), view, rough, f0) * wp.max(nr, 0.0) * ao)
        grazing = wp.pow(1.0 - wp.max(wp.dot(normal, view), 0.0), 4.0)
        spec += look.sky * (0.10 * grazing * ao * wp.smoothstep(0.6, -0.3, normal[1]))
        light += spec * shine
        if material == EYE:
            light = light * (0.30 + 0.70 * wp.smoothstep(0.05, 0.75, ao))
            window = wp.normalize(look.key + wp.vec3(0.25, 0.15, -1.0))
            light += look.key_colour * (0.55 * wp.pow(wp.max(wp.dot(normal, wp.normalize(window + view)), 0.0), 900.0))
        elif material == TEETH or material == TONGUE or material == MOUTH:
            floor_light = 0.12
            if material == TEETH:
                floor_light = 0.38
            light = light * (floor_light + (1.0 - floor_light) * ao)
    colour[i] = wp.vec3(tone(light[0]), tone(light[1]), tone(light[2]))
