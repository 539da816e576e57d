"""The head of the page: what was run, and the few figures that matter, with what they mean."""

from __future__ import annotations

from castfield.report.findings import Findings
from castfield.report.html import div, h, p
from castfield.report.words import count, figure, grouped

FIELDS = {"grid": "the fast field (feature planes near the head)", "mlp": "the paper's network"}


def head(f: Findings) -> str:
    """Title, one sentence about the run, the synthetic banner."""
    config = f.config
    persons = len({person.person for person in f.people})
    seconds = sum(person.seconds for person in f.people)
    clips = "" if persons == len(f.people) else f" in {count(len(f.people), 'clip')}"
    lead = p(
        f"{h(f.manifest.title)}: {count(persons, 'person', 'people')}{clips}, {seconds:.0f} s of video in all, one model.",
        f"Module <b>{h(config.module)}</b>, {FIELDS.get(f.model.config.field, h(f.model.config.field))},",
        f"pictures of {f.model.size} × {f.model.size} pixels, seed {config.seed}.",
        kind="lead",
    )
    banner = p(
        "<b>Synthetic people.</b> Everyone on this page was made from a parametric body model and speaks with a synthesizer's voice.",
        "They are tracked and learned like real footage, but figures measured on them do not carry over to real people.",
        kind="banner",
    )
    kicker = p(f"{h(config.report.title)} · {h(config.dataset)}", kind="kicker")
    return f"{kicker}<h1>One field, {h(count(persons, 'person', 'people'))}</h1>{lead}{banner if f.manifest.synthetic else ''}"


def key_figures(f: Findings) -> str:
    """Cards with the figures that matter."""
    cards = [card for card in (_picture(f, "_speech"), _picture(f, ""), _identity(f), _mouth(f), _cost(f)) if card]
    return div("figures", *cards) if cards else ""


def _card(what: str, value: str, unit: str, meaning: str) -> str:
    shown = h(value) + (f'<span class="unit">{h(unit)}</span>' if unit else "")
    return div("figure", div("what", h(what)), div("value", shown), p(h(meaning)))


def _picture(f: Findings, suffix: str) -> str:
    value = f.figure("reconstruction", f"psnr{suffix}")
    if value is None:
        return ""
    where = "frames held out in mid-speech" if suffix else "the held-out last tenth of each clip"
    meaning = f"How close renders come to {where}, over the head."
    copied = f.figure("reconstruction", f"copy_psnr{suffix}")
    if copied is not None:
        more = ", more than the field." if copied > value else "."
        meaning += f" Copying the nearest training frame scores {copied:.1f} dB{more}"
    return _card(f"PSNR, {'mid-speech' if suffix else 'end of clip'}", figure("psnr", value), "dB", meaning)


def _identity(f: Findings) -> str:
    value = f.figure("transfer", "acd")
    if value is None:
        return ""
    meaning = "Distance between faces of transferred and real frames: does A still look like A?"
    bounds = []
    for name, between in (("acd_real", "real frames of one clip"), ("acd_others", "different people")):
        bound = f.figure("transfer", name)
        if bound is not None:
            bounds.append(f"{figure('acd', bound)} between {between}")
    return _card("ACD, transfer", figure("acd", value), "", meaning + (f" It is {' and '.join(bounds)}." if bounds else ""))


def _mouth(f: Findings) -> str:
    value = f.figure("transfer", "mouth_corr")
    if value is None:
        return ""
    meaning = "Correlation of the rendered mouth's opening with the driver's: does A speak as B does? 1 follows exactly, 0 not at all."
    return _card("Mouth, transfer", figure("mouth_corr", value), "", meaning)


def _cost(f: Findings) -> str:
    seconds = f.training.get("seconds")
    if not isinstance(seconds, int | float):
        return ""
    parts = [f"Time to train all {count(len(f.model.clips), 'clip')} together"]
    if "steps" in f.training:
        parts.append(f"{grouped(f.training['steps'])} steps")
    parts.append(f"{f.model.parameters / 1e6:.1f} million parameters")
    long = seconds >= 90
    return _card("Training", f"{seconds / 60:.1f}" if long else f"{seconds:.0f}", "min" if long else "s", ", ".join(parts) + ".")


def beaten(f: Findings) -> str:
    """A plain word where copying a training frame scores a better PSNR than the field; `` where it nowhere does."""
    worse = []
    for name, where in (("psnr_speech", "in mid-speech"), ("psnr", "at the end of the clips")):
        value, copied = f.figure("reconstruction", name), f.figure("reconstruction", f"copy_{name}")
        if value is not None and copied is not None and copied > value:
            worse.append(f"{copied:.1f} dB against the field's {value:.1f} dB {where}")
    if not worse:
        return ""
    return p(
        "<b>The field does not beat copying here.</b> The training frame nearest in pose and expression, taken as the prediction, scores",
        f"{h(' and '.join(worse))}. On short clips in which little happens that is a strong baseline: these figures show how well heads",
        "are reproduced, not that the field makes up expressions that it has not seen.",
        kind="warn",
    )
