"""How well each person was tracked: the fit over the footage, expression against time, and errors where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from castfield.clip import Crop
from castfield.report.charts import strip
from castfield.report.findings import Findings, Person
from castfield.report.html import cell, div, h, heads, p, row, table
from castfield.report.overlay import overlay, panels
from castfield.report.pictures import jpeg
from castfield.report.words import count
from castfield.rigs import Rig, load_rig

CURVES = {
    "jaw open": ("jawOpen",),
    "pucker": ("mouthPucker",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "brows up": ("browInnerUp",),
}
"""Curves that are drawn where the rig has these actions: the mean of the named ones."""
MOST = len(CURVES)
FIT = {
    "nme": ("NME, %", 100, 2),
    "nme_worst": ("worst frame, %", 100, 2),
    "jitter_ratio": ("jitter, share of the raw landmarks'", 1, 2),
    "lip_range": ("lip range, share of the raw landmarks'", 1, 2),
    "lip_corr": ("lip correlation", 1, 3),
}
TRUTH = {
    "nme": ("NME, %", 100, 2),
    "rotation_deg": ("rotation, °", 1, 2),
    "lateral_mm": ("across, mm", 1, 2),
    "depth_pct": ("depth, %", 1, 2),
    "expression_corr": ("expression correlation", 1, 2),
    "head_iou": ("head mask IoU", 1, 3),
}
"""Figures by key: what they are called here, what they are multiplied with, and digits behind the point."""


def tracking(f: Findings) -> str:
    """A card for each person, and the figures."""
    rig = load_rig(f.layout.rig)
    keys = '<span class="key k0"></span>the fit', '<span class="key k1"></span>the truth'
    known = f" beside {keys[1]}, where it is known," if any(_truth(f, person) is not None for person in f.people) else ""
    text = p(
        "Footage; the tracker's points (orange) under those of the fit (white); the fitted mesh; head and torso as parsed. Frames without",
        f"a usable face lose their colours. Below: expression against time as {keys[0]} has it{known} over the whole clip; shaded frames",
        "are held out.",
    )
    return text + div("shows", *(_card(f, rig, person) for person in f.people)) + _figures(f) + _errors(f)


def _card(f: Findings, rig: Rig, person: Person) -> str:
    seconds = min(person.seconds, f.config.report.overlay_seconds)
    shown = ""
    if seconds > 0:
        first = next(panels(f.layout, rig, person.clip, person.track, 1))
        source = overlay(f.layout, rig, person.clip, person.track, seconds)
        label = h(f"{person.clip}: footage, landmarks, fitted mesh, masks")
        shown = (
            f'<video controls loop muted playsinline preload="metadata" poster="{jpeg(first)}" src="{source}" aria-label="{label}"></video>'
        )
    truth = _truth(f, person)
    rows = []
    for name, at in curves(rig, person.track.expression).items():
        fitted = person.track.expression[:, at].mean(1).astype(np.float64)
        known = None if truth is None else truth[:, at].mean(1)
        values = fitted if known is None else np.concatenate([fitted, known])
        low, high = (min(0.0, float(values.min())), max(0.5, float(values.max())))
        chart = strip(fitted, known, person.held, low=low, high=high, label=f"{name} of {person.clip} against time")
        rows.append(f"<span>{h(name)}</span>{chart}")
    caption = f"<b>{h(person.clip)}</b>" + (f" the first {seconds:g} s" if 0 < seconds < person.seconds else "")
    return f'<figure class="card">{shown}<figcaption>{caption}{div("strips", *rows)}</figcaption></figure>'


def curves(rig: Rig, expression: np.ndarray) -> dict[str, list[int]]:
    """What is drawn of an expression (T, d): a name and the dimensions whose mean it is. Without ARKit's names, what moves most."""
    names = rig.expression_names
    known = {label: [names.index(n) for n in parts] for label, parts in CURVES.items() if all(n in names for n in parts)}
    if len(known) == len(CURVES):
        return known
    spread = expression.std(0) / rig.expression_deviation.numpy()
    taken = {at for parts in known.values() for at in parts}
    further = [int(at) for at in np.argsort(-spread, kind="stable") if int(at) not in taken]
    return known | {names[at]: [at] for at in further[: MOST - len(known)]}


def _truth(f: Findings, person: Person) -> np.ndarray | None:
    """(T, d) the true activations of the clip's frames; None where nobody knows them or they speak of another rig."""
    path = f.layout.truth / f"{person.clip}.npz"
    if not path.exists():
        return None
    crop = Crop.load(f.layout.frames / f"{person.clip}.json")
    with np.load(path) as z:
        first = round(crop.start * float(z["fps"]))
        expression = z["expression"][first : first + person.frames].astype(np.float64)
    return expression if expression.shape == person.track.expression.shape else None


def _figures(f: Findings) -> str:
    clips = {person.clip: person.tracking for person in f.people if person.tracking}
    return _table("clip", clips, f.tracking, FIT) if clips else ""


def _errors(f: Findings) -> str:
    truth = f.tracking.get("truth")
    if not isinstance(truth, dict) or not truth.get("clips"):
        return ""
    text = p(
        "Against the truth, which only synthetic footage has: mean errors over the frames, after one rotation and one scale of depth per",
        "clip, which are conventions of the rig and of the camera.",
        kind="note",
    )
    return f"<h3>Errors against the truth</h3>{text}" + _table("clip", truth["clips"], truth, TRUTH)


def _table(first: str, clips: dict[str, dict[str, Any]], mean: dict[str, Any], figures: dict[str, tuple[str, int, int]]) -> str:
    """A row for each clip and one for the mean of all; a column for each figure that any clip has."""
    kept = {key: figure for key, figure in figures.items() if any(key in values for values in clips.values())}
    lines = {**dict(sorted(clips.items())), **({f"all {count(len(clips), 'clip')}": mean} if len(clips) > 1 else {})}
    rows = [
        row(cell(h(name), "name"), *(cell(_written(values.get(key), *how), "n") for key, (_, *how) in kept.items()))
        for name, values in lines.items()
    ]
    return table([*heads([first], ""), *heads(label for label, *_ in kept.values())], rows)


def _written(value: Any, times: int, digits: int) -> str:
    return f"{value * times:.{digits}f}" if isinstance(value, int | float) else "–"
