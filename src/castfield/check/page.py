"""The check as a page: one file with the offending frames as pictures, which asks nobody for anything."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np

from castfield.check.decoding import whole_picture
from castfield.check.finding import VERDICTS, Finding, Level, some
from castfield.check.result import Result, about
from castfield.media import FPS
from castfield.report.html import cell, div, h, p, row, style, table
from castfield.report.pictures import jpeg
from castfield.report.words import count

SIDE = 300
"""Longer side of a whole picture on the page, in pixels."""
STRIP = 8
"""Frames in the strip that shows what training will see."""
WORDS = {Level.FINE: "fine", Level.NOTE: "note", Level.REMARK: "remark", Level.STOP: "stop"}
MEANING = {
    Level.FINE: "Nothing stands in the way.",
    Level.NOTE: "Nothing stands in the way; see what could be better.",
    Level.REMARK: "It will run; the result will be worse for what is marked.",
    Level.STOP: "Mend what is marked first, or leave it out.",
}


def page(results: list[Result]) -> str:
    """The whole page as HTML."""
    sections = "\n".join(_clip(result, at) for at, result in enumerate(results))
    extra = files("castfield.check").joinpath("check.css").read_text(encoding="utf-8")
    what = results[0].name if len(results) == 1 else count(len(results), "video")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Footage check: {h(what)}</title>\n<style>{style()}{extra}</style></head>\n"
        f"<body><header>{p('Castfield · footage check', kind='kicker')}{_head(results)}</header>\n<main>{sections}</main>\n"
        f"<footer>{p('Frames are numbered at 25 a second. Thresholds and their reasons stand beside each criterion in castfield/check.')}"
        "</footer></body></html>\n"
    )


def _head(results: list[Result]) -> str:
    if len(results) == 1:
        return ""
    tally = {word: sum(VERDICTS[r.level] == word for r in results) for word in dict.fromkeys(VERDICTS.values())}
    lead = p(h(", ".join(f"{number} {word}" for word, number in tally.items() if number) + "."), kind="lead")
    rows = [
        row(
            cell(f'<a href="#clip{at}">{h(result.name)}</a>', "name"),
            cell(_badge(result.level)),
            cell(h(", ".join(title for title, f in result.findings if f.level > Level.NOTE)) or "–"),
        )
        for at, result in enumerate(results)
    ]
    return f"<h1>{h(count(len(results), 'video'))}</h1>{lead}{table((), rows)}"


def _clip(result: Result, at: int) -> str:
    told = sorted(result.findings, key=lambda pair: -pair[1].level)
    bad = [(title, f) for title, f in told if f.level > Level.NOTE]
    notes = [(title, f) for title, f in told if f.level == Level.NOTE]
    well = [(title, f) for title, f in told if f.level == Level.FINE]
    head = div("verdict " + WORDS[result.level], _badge(result.level), f"<span>{h(MEANING[result.level])}</span>")
    parts = [
        f'<section id="clip{at}" class="clip"><h2>{h(result.name)}</h2>',
        p(h(about(result.evidence)), kind="note"),
        head,
        _strip(result),
    ]
    if bad:
        parts += ["<h3>What will not go well</h3>", *(_finding(result, title, f) for title, f in bad)]
    if notes:
        parts += ["<h3>Good to know</h3>", *(_finding(result, title, f) for title, f in notes)]
    if well:
        lines = "".join(f"<li><b>{h(title)}</b> {h(f.text)}</li>" for title, f in well)
        parts += ["<h3>What will go well</h3>", f'<ul class="well">{lines}</ul>']
    return "".join(parts) + "</section>"


def _badge(level: Level) -> str:
    return f'<b class="badge {WORDS[level]}">{h(VERDICTS[level])}</b>'


def _strip(result: Result) -> str:
    """What training will see, from start to end."""
    seen = result.evidence.decoded
    if seen is None or not len(seen.crops):
        return ""
    chosen = some(list(range(len(seen.crops))), STRIP)
    pictures = "".join(_picture(seen.crops[k], int(seen.at[k])) for k in chosen)
    return f'<figure class="strip"><div>{pictures}</div><figcaption>The clip as it is cut around the head.</figcaption></figure>'


def _finding(result: Result, title: str, finding: Finding) -> str:
    cure = p(f"<b>What to do:</b> {_code(finding.cure)}.", kind="cure") if finding.cure else ""
    shown = [(frame, picture) for frame in finding.frames if (picture := _frame(result, frame, finding.whole)) is not None]
    pictures = div("shots", *(_picture(picture, frame) for frame, picture in shown)) if shown else ""
    return div(f"card finding {WORDS[finding.level]}", f"<h4>{h(title)}</h4>", p(h(finding.text)), cure, pictures)


def _code(text: str) -> str:
    """Text with `names` as HTML."""
    return re.sub("`(.+?)`", r"<code>\1</code>", h(text[:1].upper() + text[1:]))


def _frame(result: Result, frame: int, whole: bool) -> np.ndarray | None:
    """The crop nearest to a frame, or the whole picture where that is asked for or there is no crop."""
    e = result.evidence
    if not whole and e.decoded is not None and len(e.decoded.crops):
        return e.decoded.crops[int(np.abs(e.decoded.at - frame).argmin())]
    return whole_picture(e.opened.film, frame, SIDE) if e.opened is not None else None


def _picture(frame: np.ndarray, at: int) -> str:
    text = f"frame {at}, {at / FPS:.2f} s"
    return f'<figure><img src="{jpeg(frame, 85)}" alt="{text}" loading="lazy"><figcaption>{at / FPS:.2f} s</figcaption></figure>'
