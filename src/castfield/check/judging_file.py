"""Criteria of the film as such: refusals, decoding, length, frame rate, cuts, frozen pictures, bits."""

from __future__ import annotations

import numpy as np

from castfield.check.evidence import Evidence
from castfield.check.finding import Finding, Level, fine, plain, some
from castfield.check.scenes import standstills
from castfield.media import FPS
from castfield.report.words import count

LONG_ENOUGH = 10.0
"""Seconds below which copying the nearest frame beats the field (README, "Numbers"): too little is said to need a model."""
LEAST_RATE = 20.0
"""Pictures a second: a short speech sound lasts a tenth of a second and takes two pictures to be seen to open and close."""
LONGEST_GAP = 0.1
"""Seconds without a new picture: a speech sound falls into it and is not seen."""
FROZEN = 0.5
"""Seconds: a person who looks into a camera does not stand still to the last pixel for half a second."""
CONTRAST = 16.0
"""Standard deviation of a thumbnail's brightness below which small motion is lost in whole grey levels; ordinary pictures have 40 to 80."""
LEAST_BITS = 0.02
"""Bits a pixel and picture. H.264 at this rate keeps outlines and gives up the texture of skin; ordinary video has three times as much."""


def refused(e: Evidence) -> Finding:
    """What a stage will refuse, in its own words."""
    if not e.refusals:
        return fine("refused", "Every stage that cuts and tracks will take it.")
    text = "; ".join(error.fault + (f" (found: {plain(error.found)})" if error.found is not None else "") for error in e.refusals)
    return Finding("refused", Level.STOP, f"The pipeline refuses it: {text}.", str(e.refusals[0].cure or ""), _spread(e), whole=True)


def decoding(e: Evidence) -> Finding | None:
    """Whether the decoder complained."""
    if e.decoded is None or e.packets is None:
        return None
    said = [line for line in (e.decoded.complaints + "\n" + e.packets.complaints).splitlines() if line.strip()]
    if not said:
        return fine("decoding", "The file decodes without a complaint.")
    text = f"The decoder complained {count(len(said), 'time')}, first: {plain(said[0])[:120]}."
    return Finding("decoding", Level.REMARK, text, "download or export the file again; look for broken pictures", _spread(e), whole=True)


def length(e: Evidence) -> Finding | None:
    """How much footage there is."""
    if not e.frames or e.opened is None:
        return None
    seconds, most = e.frames / FPS, e.config.frames.max_seconds
    if e.opened.to_the_end and (e.opened.there or 0) > most + 1 / FPS:
        text = f"{e.opened.there:.0f} s, of which the first {most:g} are used."
        return Finding("length", Level.NOTE, text, "raise frames.max_seconds, or choose a part by `start` and `end`")
    if seconds < LONG_ENOUGH:
        text = f"{seconds:.1f} s: enough to try; the face is learned only in the few poses and sounds that occur."
        return Finding("length", Level.NOTE, text, "half a minute or more shows the model more of the person")
    return fine("length", f"{seconds:.0f} s of footage.")


def frame_rate(e: Evidence) -> Finding | None:
    """Whether there are pictures enough a second."""
    if e.packets is None or len(e.packets.intervals) == 0 or e.still:
        return None
    rate = 1 / float(np.median(e.packets.intervals))  # holes are told by `steady_rate`
    if rate < LEAST_RATE:
        text = f"{rate:.1f} pictures a second: lips move between them, and each is repeated to reach {FPS}."
        return Finding("frame_rate", Level.REMARK, text, f"film or export with {FPS} pictures a second or more")
    return fine("frame_rate", f"{rate:.4g} pictures a second; {FPS} are used.")


def steady_rate(e: Evidence) -> Finding | None:
    """Whether pictures come evenly."""
    if e.packets is None or len(e.packets.intervals) < 2:
        return None
    intervals, middle = e.packets.intervals, float(np.median(e.packets.intervals))
    holes = np.flatnonzero(intervals > max(LONGEST_GAP, 1.5 * middle) + 1e-6)
    if len(holes):
        at = [round(float(e.packets.times[k] - e.packets.times[0]) * FPS) for k in holes]
        text = f"The picture stutters: {count(len(holes), 'gap')} of up to {1000 * intervals.max():.0f} ms without a new one."
        return Finding(
            "steady_rate", Level.REMARK, text, "record with a constant frame rate (phones and screen recorders: switch it on)", some(at)
        )
    if np.quantile(intervals, 0.95) > 1.5 * middle:
        text = f"The frame rate varies, with gaps of up to {1000 * intervals.max():.0f} ms; pictures and sound are kept in step."
        return Finding("steady_rate", Level.NOTE, text, "nothing, or export with a constant frame rate")
    return fine("steady_rate", "Pictures come evenly.")


def shots(e: Evidence) -> Finding | None:
    """Whether it is one shot."""
    if e.decoded is None or not e.frames or e.still:
        return None
    if not e.cuts and not e.leaps:
        return fine("cuts", "One shot, no cut.")
    where = f" at {', '.join(f'{at / FPS:.2f} s' for at in e.cuts[:6])}" if e.cuts else ""
    text = f"{count(max(len(e.cuts), e.leaps), 'cut')}{where}: one head is fitted to all shots, and one background behind them."
    around = tuple(frame for at in e.cuts[:3] for frame in (at - 1, at))
    return Finding("cuts", Level.REMARK, text, "make each shot a clip of its own (`start` and `end` in the manifest)", around, whole=True)


def movement(e: Evidence) -> Finding | None:
    """Whether it is a film at all."""
    if e.decoded is None or not e.frames:
        return None
    if e.still:
        text = "All pictures are the same: nobody moves, there is nothing to learn from."
        return Finding("movement", Level.STOP, text, "use footage of the person speaking", (0,), whole=True)
    return None


def frozen(e: Evidence) -> Finding | None:
    """Whether the picture stands still for a while."""
    if e.decoded is None or not e.frames or e.still:
        return None
    if (starved := bits(e)) is not None and starved.level > Level.NOTE:
        return None  # an encoder without bits repeats pictures of people who move
    if min(float(np.median(thumbs.std((1, 2)))) for thumbs in e.decoded.thumbs if len(thumbs)) < CONTRAST:
        return None
    runs = [
        (part.first + a, b - a)
        for part, thumbs in zip(e.parts, e.decoded.thumbs, strict=True)
        for a, b in standstills(thumbs)
        if b - a >= FROZEN * FPS
    ]
    if not runs:
        return fine("frozen", "The picture never freezes.")
    longest = max(frames for _, frames in runs) / FPS
    text = f"The picture freezes {count(len(runs), 'time')}, for up to {longest:.1f} s, while the sound goes on."
    return Finding("frozen", Level.REMARK, text, "leave these parts out (`start` and `end`)", some([at for at, _ in runs]))


def bits(e: Evidence) -> Finding | None:
    """Whether compression has left any detail."""
    if e.packets is None or e.opened is None or not e.packets.rate or e.still:
        return None
    film = e.opened.film
    area = min(e.box[2] ** 2, film.width * film.height) if e.box else film.width * film.height
    share = e.packets.bit_rate / e.packets.rate / area
    if share < LEAST_BITS:
        text = f"{e.packets.bit_rate / 1000:.0f} kbit/s, {share:.3f} bits a pixel if the head got all: its skin has no texture left."
        return Finding("bits", Level.REMARK, text, "use the original file, not one that a messenger or website made smaller", _spread(e))
    return fine("bits", f"{e.packets.bit_rate / 1000:.0f} kbit/s are enough for the head.")


def _spread(e: Evidence) -> tuple[int, ...]:
    return some(list(range(e.frames)), 4) if e.frames else ()
