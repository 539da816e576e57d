"""Who was learned: portraits, tracking, and what was left out."""

from __future__ import annotations

import numpy as np

from castfield.geometry import FRONTAL
from castfield.report.charts import sparkline
from castfield.report.findings import Findings, Person
from castfield.report.html import cell, div, h, heads, lines, p, row, table
from castfield.report.pictures import nth_frame
from castfield.report.stills import image
from castfield.report.words import count

LIMIT = 15.0
"""Head rotations are drawn up to this many degrees."""


def people(f: Findings) -> str:
    """Portraits with tracking curves, and the clips left out."""
    keys = [f'<span class="key k{i}"></span>{name}' for i, name in enumerate(("yaw", "pitch", "roll"))]
    text = p(
        f"Each clip with its head's {', '.join(keys)} as tracked (the box spans ±{LIMIT:g}°); shaded frames are held out.",
        "NME is the landmark error of the fitted head over the distance of the eyes.",
    )
    return text + div("people", *(_person(f, person) for person in f.people)) + _left_out(f)


def _person(f: Findings, person: Person) -> str:
    facts = [f"{person.seconds:.1f} s" + ("" if person.has_speech else ", silent")]
    if "nme" in person.tracking:
        facts.append(f"NME {person.tracking['nme'] * 100:.1f} %")
    others = [q.clip for q in f.people if q.person == person.person and q.clip != person.clip]
    if others:
        facts.append(f"same person as {', '.join(others)}")
    elif person.person != person.clip:
        facts.append(person.person)
    lost = int((~person.track.valid).sum())
    if lost:
        facts.append(f"{count(lost, 'frame')} without a face")
    portrait = image(nth_frame(f.layout.frames / f"{person.clip}.mkv", 0), 176, f"portrait of {person.clip}", 85)
    about = div("", f"<b>{h(person.clip)}</b>", div("note", "<br>".join(map(h, facts))))
    return div(
        "card person", portrait, about, sparkline(list(angles(person)), person.held, limit=LIMIT, label=f"head rotation of {person.clip}")
    )


def angles(person: Person) -> np.ndarray:
    """Yaw, pitch and roll (3, T) in degrees of the head against one that looks into the camera."""
    turn = np.einsum("ij,tjk->tik", FRONTAL, person.track.rotation.astype(np.float64))
    yaw = np.arctan2(turn[:, 0, 2], turn[:, 2, 2])
    pitch = np.arcsin(np.clip(-turn[:, 1, 2], -1, 1))
    roll = np.arctan2(turn[:, 1, 0], turn[:, 1, 1])
    return np.degrees([yaw, pitch, roll])


def _left_out(f: Findings) -> str:
    if not f.failed:
        return ""
    rows = [row(cell(h(name), "name"), cell(h(stage)), cell(lines(reason))) for name, stage, reason in f.failed]
    return "<h3>Left out</h3>" + table(heads(("clip or video", "stage", "why"), ""), rows)
