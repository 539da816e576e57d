"""What the model makes of the people: reconstruction, transfer, novel views, personalised models."""

from __future__ import annotations

from typing import Any

from castfield import media
from castfield.report.findings import Findings
from castfield.report.html import cell, div, h, p, row, table
from castfield.report.pictures import nth_frame
from castfield.report.stills import held_frame, image, open_mouth, real_frame, three, video
from castfield.report.words import count, figure
from castfield.tasks import picture

STILL = 384
"""Side of a full-size still in pixels."""
CELL = 128
"""Side of a still in the table of pairs in pixels."""

Entries = list[dict[str, Any]]


def reconstruction(f: Findings) -> str:
    """Videos of every clip, and held-out frames at full size."""
    entries = f.entries.get("reconstruction", [])
    text = p(
        "Each clip rendered from its tracked poses and expressions: ground truth, render, difference (four times enlarged).",
        "The head is the field's; what lies behind it is the frame's own. Amber in the bar marks frames that the model never saw.",
    )
    cards = [
        video(f, "reconstruction", e["name"], 768, held_frame(e), f"<b>{h(e['name'])}</b> {_scores(f, 'reconstruction', e['name'])}")
        for e in entries
    ]  # fmt: skip
    return text + div("shows", *cards) + _stills(f, entries)


def _scores(f: Findings, task: str, name: str) -> str:
    values = f.per_clip.get((task, name), {})
    parts = []
    for key, where in (("psnr_speech", "mid-speech"), ("psnr", "end")):
        if key in values:
            copied = f" (copying {values[f'copy_{key}']:.1f})" if f"copy_{key}" in values else ""
            parts.append(f"{where} {values[key]:.1f} dB{copied}")
    return h(" · ".join(parts))


def _stills(f: Findings, entries: Entries) -> str:
    """Held-out frames at full size: of the best, the middle and the worst clip by PSNR in mid-speech."""
    by_name = {e["name"]: e for e in entries}
    score = {name: f.per_clip.get(("reconstruction", name), {}).get("psnr_speech", 0.0) for name in by_name}
    blocks = []
    for name, word in three(sorted(by_name, key=lambda n: (-score[n], n))).items():
        entry = by_name[name]
        at = held_frame(entry)
        render = nth_frame(f.layout.renders / "reconstruction" / entry["video"], at)
        truth = real_frame(f, entry["driver"], entry["frames"][at])
        shown = {
            "ground truth": truth,
            "render": picture.watermark(picture.enlarge(render, STILL)),
            "difference × 4": picture.difference(truth, render),
        }
        panels = [div("", image(frame, STILL, f"{what}, {name}", 92), f"<span>{what}</span>") for what, frame in shown.items()]
        caption = f"<b>{h(name)}</b>, frame {entry['frames'][at]}, held out in mid-speech" + (
            f"; the {word} clip by PSNR there" if word else ""
        )
        blocks.append(f'<figure class="still">{div("panels", *panels)}<figcaption>{caption}</figcaption></figure>')
    return "<h3>Held-out frames at full size</h3>" + "".join(blocks) if blocks else ""


def transfer(f: Findings) -> str:
    """The cast as a grid, stills with figures, and three pairs in full."""
    entries = {e["name"]: e for e in f.entries.get("transfer", [])}
    if not entries:
        return p("One clip alone has nobody to be driven by.", kind="note")
    clips = sorted({e["identity"] for e in entries.values()} | {e["driver"] for e in entries.values()})
    whole = len(entries) == len(clips) * (len(clips) - 1)
    pairs = f"all {len(entries)} ordered pairs" if whole else f"a seeded sample of {count(len(entries), 'ordered pair')}"
    text = p(
        f"Everyone under everyone's expressions and head motion, {pairs}. Rows are identities, columns drivers.",
        "A head moves as the driver's does, about its own mean pose, over its own background and shoulders.",
    )
    grid = ""
    if (f.layout.renders / "grid/grid.mp4").exists():
        caption = "First row: the drivers' footage. First column: the identities. Diagonal: each person's own reconstruction."
        grid = div("wide", video(f, "grid", "grid", 1280, media.FPS // 2, caption, loop=True))
    return text + grid + _pairs(f, entries, clips[: f.config.render.grid_people]) + _with_sound(f, entries)


def _pairs(f: Findings, entries: dict[str, dict[str, Any]], clips: list[str]) -> str:
    """Stills of each pair at the driver's widest mouth, with the pair's figures."""
    moments = {clip: open_mouth(f, clip) for clip in clips}
    drivers = [cell(image(real_frame(f, clip, moments[clip]), CELL, f"{clip}, footage", 82), "real") for clip in clips]
    rows = [row(cell("driver", "side", "th"), *drivers)]
    for identity in clips:
        cells = []
        for driver in clips:
            entry = entries.get(f"{identity}__{driver}")
            if entry is None:
                cells.append(cell("" if identity == driver else "–"))
                continue
            at = min(moments[driver] - entry["frames"][0], len(entry["frames"]) - 1)
            frame = nth_frame(f.layout.renders / "transfer" / entry["video"], at)
            values = f.per_clip.get(("transfer", entry["name"]), {})
            written = " · ".join(figure(name, values[name]) for name in ("acd", "mouth_corr") if name in values)
            cells.append(cell(image(frame, CELL, f"{identity} driven by {driver}", 82) + f"<span>{h(written)}</span>"))
        rows.append(row(cell(h(identity), "side", "th"), *cells))
    note = p(
        "Each driver at the widest opening of the mouth. Under a picture: ACD (small is like the identity) ·",
        "correlation of the mouth with the driver's over the clip.",
        kind="note",
    )
    return f"<h3>Pair by pair</h3>{note}" + table([cell("", "", "th"), *(cell(h(clip), "", "th") for clip in clips)], rows, "cells")


def _with_sound(f: Findings, entries: dict[str, dict[str, Any]]) -> str:
    """The best, the middle and the worst pair by mouth correlation."""
    score = {name: f.per_clip.get(("transfer", name), {}).get("mouth_corr") for name in entries}
    known = {name: value for name, value in score.items() if value is not None}
    ranked = sorted(known, key=lambda n: (-known[n], n)) or sorted(entries)
    cards = []
    for name, word in three(ranked).items():
        entry, values = entries[name], f.per_clip.get(("transfer", name), {})
        told = [
            f"{label} {figure(key, values[key])}" for key, label in (("mouth_corr", "mouth correlation"), ("acd", "ACD")) if key in values
        ]
        which = f", the {word} pair by mouth correlation" if word and known else ""
        caption = f"<b>{h(entry['identity'])}</b> driven by <b>{h(entry['driver'])}</b>{which}<br>{h(', '.join(told))}"
        cards.append(video(f, "transfer", name, 640, open_mouth(f, entry["driver"]), caption))
    return "<h3>With sound</h3>" + div("shows thirds", *cards)


def novel_view(f: Findings) -> str:
    """A swing of everyone to both sides."""
    cards = [
        video(f, "novel_view", e["name"], 256, len(e["frames"]) // 4, f"<b>{h(e['name'])}</b>", loop=True)
        for e in f.entries.get("novel_view", [])
    ]
    text = p(
        f"Each head turned {f.config.render.swing_degrees:g}° to either side of its mean pose, beyond most of what the footage shows;",
        "background and shoulders stay the footage's own.",
    )
    return text + div("views", *cards)


def personal(f: Findings) -> str:
    """The personalised models."""
    cards = []
    for who, what in (("seen", "whom the generic model knows"), ("unseen", "whom the model before had never seen")):
        for entry in f.entries.get(f"personal_{who}", []):
            name, report = entry["name"], f.personal.get(who, {})
            told = []
            for key, text in (("seconds_of_footage", "s of footage"), ("seconds", "s of fine-tuning")):
                if isinstance(report.get(key), int | float):
                    told.append(f"{report[key]:.3g} {text}")
            caption = f"<b>{h(name)}</b>, {what}: {h(', '.join(told))}<br>{_scores(f, f'personal_{who}', name)}"
            cards.append(video(f, f"personal_{who}", name, 768, held_frame(entry), caption))
    if not cards:
        return p("Nobody was personalised in this run.", kind="note")
    text = p(
        f"The model fine-tuned on the first {f.config.personalize.seconds:g} s of one person, with the interaction module frozen.",
        "Amber in the bar marks the held-out frames that the figures are taken from.",
    )
    return text + div("shows", *cards)
