"""Criteria of the person: how many, how large, seen how well."""

from __future__ import annotations

import numpy as np

from castfield.check.covering import PARTS, covered
from castfield.check.evidence import Evidence
from castfield.check.faces import Views
from castfield.check.finding import Finding, Level, fine, some

RARE = 0.1
"""Share of the frames that may have a fault before it is remarked upon: as much is held out of training anyway."""
SEEN = 0.95
"""Share of the frames with a face that leaves nothing to say."""
HALF_CONTRAST = 0.75
"""Blur in pixels that halves the contrast of detail of four pixels' length, half of what a picture can show:
exp(-2 (pi s f)^2) = 1/2 at f = 1/4."""
YAW, PITCH = 40.0, 30.0
"""Degrees from which the far eye is hidden behind the nose, or the nostrils or the crown fill the face: hidden points are guessed."""
DARK = 40
"""Brightness of the face, of 255. Skin of any complexion that is exposed as intended lies above 60; what is below is noise."""
WHITE = 0.1
"""Share of the face that may be white without detail: highlights on forehead and nose."""
CHANGE = 25.0
"""Change of the face's brightness in levels of 255. A model that takes light to be constant is then wrong by 20 log10(255/25) = 20 dB."""
OVER_THE_EDGE = 0.05
"""Share of the face's width that may lie beyond the picture: landmarks of the rim are uncertain by as much."""
STILL_LIPS = 0.04
"""Range of the lips' opening over the distance of the eyes' corners: twice the error of the landmarks. Speech gives 0.1 and more."""


def upright(e: Evidence) -> Finding | None:
    """Whether the head is upright."""
    views = _views(e)
    roll = float(np.nanmedian(views.angles[:, 2])) if views is not None else 0.0
    if not e.turned and abs(roll) < 45:
        return fine("upright", "The head is upright.") if views is not None else None
    degrees = e.turned or round(roll / 90) * 90 % 360
    if abs(roll) >= 45 or e.refusals:
        text = f"The head lies: it is upright when the picture is turned by {degrees}° to the left."
        return Finding("upright", Level.REMARK, text, _turning(degrees), (0,), whole=True)
    text = f"The picture must be turned by {degrees}° to be upright; the tracker takes it for upright and misreads the face."
    return Finding("upright", Level.STOP, text, _turning(degrees), (0,), whole=True)


def _turning(degrees: int) -> str:
    filters = {90: "transpose=2", 180: "vflip,hflip", 270: "transpose=1"}.get(degrees, "rotate")
    return f"turn it: ffmpeg -i in.mp4 -vf {filters} -c:a copy out.mp4"


def people(e: Evidence) -> Finding | None:
    """Whether one person is seen, and the same one throughout."""
    if not e.people or e.opened is None:
        return None
    if e.strangers:
        text = "After a cut it is somebody else: one head and one identity would be learned from several people."
        cure = "make each person a clip of its own (`start` and `end` in the manifest)"
        return Finding("people", Level.STOP, text, cure, (_apart(e), *e.strangers[:3]))
    if len(e.people) == 1:
        return fine("people", "One person.")
    x, y = (round(float(np.mean([getattr(face, axis) for _, face in e.people[0]]))) for axis in "xy")
    text = f"{len(e.people)} people are seen; the clip follows the one around ({x}, {y}), whose face fills most of it."
    film = e.opened.film
    cure = f"give `crop: [left, top, width, height]` in the manifest (the picture is {film.width} x {film.height}) to choose another"
    return Finding("people", Level.REMARK, text, cure, some(list(range(e.frames)), 2), whole=True)


def _apart(e: Evidence) -> int:
    """A frame of the person who is seen most: the one looked at that is farthest from those of others."""
    at = e.decoded.at if e.decoded else np.zeros(1, int)
    return int(at[np.abs(at[:, None] - np.array(e.strangers)[None]).min(1).argmax()])


def face_size(e: Evidence) -> Finding | None:
    """Whether the head has the pixels that training wants."""
    if e.box is None:
        return None
    side, wanted = e.box[2], e.config.train.size
    if side < wanted:
        text = f"The crop around the head is {side} pixels wide, training wants {wanted} (train.size): the rest is made up."
        cure = f"film from nearer, use the original size, or set train.size={side // 16 * 16}"
        return Finding("face_size", Level.REMARK, text, cure, (0,), whole=True)
    return fine("face_size", f"The crop around the head is {side} pixels wide; training uses {wanted}.")


def face_share(e: Evidence) -> Finding | None:
    """Whether the face is always seen."""
    if e.views is None or e.decoded is None:
        return None
    share = float(e.views.found.mean())
    if share >= SEEN:
        return fine("face_share", f"The face is seen in {share:.0%} of the frames looked at.")
    text = f"The face is seen in {share:.0%} of the frames looked at; the others are bridged and not learned from."
    level = Level.REMARK if share >= e.config.landmarks.min_found else Level.STOP
    return Finding("face_share", level, text, "leave these parts out (`start` and `end`)", _frames(e, ~e.views.found), whole=True)


def framing(e: Evidence) -> Finding | None:
    """Whether the picture's edge cuts the face."""
    views = _views(e)
    if views is None or e.box is None or e.opened is None:
        return None
    (left, top, side), film = e.box, e.opened.film
    place = views.box * side / e.config.frames.size + [left, top, left, top]  # in pixels of the footage
    beyond = np.maximum(-place[:, :2], place[:, 2:] - [film.width, film.height]).max(1)
    cut = beyond > OVER_THE_EDGE * np.ptp(place[:, ::2], axis=1)
    cure = "leave room around the head; where the file itself holds more, use it uncropped"
    return _often(e, cut, "framing", "The edge of the picture cuts the face", "All of the face is in the picture.", cure)


def pose(e: Evidence) -> Finding | None:
    """Whether the face is turned away."""
    views = _views(e)
    if views is None:
        return None
    yaw, pitch = np.abs(views.angles[:, 0]), np.abs(views.angles[:, 1])
    swing = np.nanquantile(views.angles[:, 0], [0.05, 0.95])
    well = f"The head looks into the camera; it turns between {swing[0]:.0f}° and {swing[1]:.0f}°."
    cure = "choose parts in which the person looks towards the camera"
    return _often(e, (yaw > YAW) | (pitch > PITCH), "pose", "The head is turned far away", well, cure)


def sharpness(e: Evidence) -> Finding | None:
    """Whether there is detail for the pixels that training has."""
    views = _views(e)
    if views is None or e.box is None:
        return None
    # In pixels of training's picture or of the footage, whichever are coarser: that a face is small is said by `face_size`.
    pixels = views.blur * min(e.config.train.size, e.box[2]) / e.config.frames.size
    soft = np.where(np.isfinite(pixels), pixels, 2 * HALF_CONTRAST) > HALF_CONTRAST  # no edge at all is blur, but for darkness
    well = f"Sharp: edges are {np.nanmedian(pixels):.1f} training pixels soft." if np.isfinite(pixels).any() else ""
    text = "The face is blurred beyond what training could show"
    cure = "focus on the face, hold still, use more light or the original file"
    return _often(e, soft & (views.light >= DARK), "sharpness", text, well, cure)


def exposure(e: Evidence) -> Finding | None:
    """Whether the face is neither black nor white."""
    views = _views(e)
    if views is None:
        return None
    dark, white = views.light < DARK, views.clipped > WHITE
    text = "The face is too dark" if dark.sum() >= white.sum() else "The face is overexposed"
    well = f"The face is well lit (brightness {np.nanmedian(views.light):.0f} of 255)."
    return _often(
        e, dark | white, "exposure", text, well, "set the exposure for the face; brightening afterwards does not bring detail back"
    )


def lighting(e: Evidence) -> Finding | None:
    """Whether the light stays."""
    views = _views(e)
    if views is None or e.decoded is None:
        return None
    low, middle, high = np.nanquantile(views.light, [0.05, 0.5, 0.95])
    if high - low <= CHANGE:
        return fine("lighting", "The light on the face is steady.")
    text = f"The light on the face changes by {high - low:.0f} levels of 255; the model takes it to be constant."
    ends = [int(e.decoded.at[np.nanargmin(np.abs(views.light - value))]) for value in (low, middle, high)]
    return Finding(
        "lighting", Level.REMARK, text, "choose a part with steady light; switch automatic exposure off", tuple(dict.fromkeys(ends))
    )


def occlusion(e: Evidence) -> Finding | None:
    """Whether something is in front of the face."""
    views = _views(e)
    if views is None:
        return None
    hidden = covered(views.colours)
    lit = (views.light >= DARK) & (views.clipped <= WHITE)  # black and white have no hue
    at = hidden.any(1) & lit
    names = [name for name, share in zip(PARTS, hidden[at].mean(0), strict=True) if share > 0.5] if at.any() else []
    text = f"Something covers the face ({', '.join(names) or 'parts of it'})"
    return _often(e, at, "occlusion", text, "Nothing covers the face.", "choose parts without hand, microphone or mask before the face")


def expression(e: Evidence) -> Finding | None:
    """Whether the mouth moves."""
    views = _views(e)
    if views is None or e.decoded is None or e.still:
        return None
    opening = float(np.ptp(np.nanquantile(views.lips, [0.02, 0.98])))
    if opening < STILL_LIPS:
        text = "The mouth hardly moves: a model learns no speech from it."
        return Finding(
            "expression", Level.REMARK, text, "use footage of the person speaking", (int(e.decoded.at[0]), int(e.decoded.at[-1]))
        )
    return fine("expression", f"The mouth moves: it opens by {opening:.0%} of the distance between the eyes' corners.")


def _often(e: Evidence, bad: np.ndarray, name: str, text: str, well: str, cure: str) -> Finding:
    """A remark where more than RARE of the frames looked at are `bad` (N,)."""
    share = float(bad.mean())
    if share <= RARE:
        return fine(name, well)
    return Finding(name, Level.REMARK, f"{text} in {share:.0%} of the frames looked at.", cure, _frames(e, bad))


def _frames(e: Evidence, at: np.ndarray) -> tuple[int, ...]:
    return some([int(frame) for frame in e.decoded.at[at]]) if e.decoded else ()


def _views(e: Evidence) -> Views | None:
    """What is known of the face where there is one and the picture is a film."""
    return e.views if e.views is not None and e.views.found.any() else None
