"""The parts of the page that are figures: every metric with its recipe, training, identity codes, parameters."""

from __future__ import annotations

import dataclasses
from typing import Any

from castfield.report import charts, codes
from castfield.report.findings import TASKS, TITLES, Findings
from castfield.report.html import cell, div, h, heads, lines, p, row, table
from castfield.report.words import count, figure, grouped, sort_key, split_name, title

TRAINING = {
    "steps": "steps",
    "seconds": "seconds",
    "steps_per_second": "steps a second",
    "clips": "clips",
    "frames": "training frames",
    "parameters": "parameters",
    "module_parameters": "of these in the interaction module",
    "memory_mib": "peak memory, MiB",
    "train_psnr": "PSNR of training rays, dB",
}


def metrics(f: Findings) -> str:
    """Every figure of every task with its recipe; what is absent, and why; every video's figures."""
    tasks = [task for task in TASKS if task in f.metrics] + sorted(set(f.metrics) - set(TASKS) - {"model"})
    names = sorted({name for task in tasks for name in f.metrics[task]}, key=sort_key)
    rows = [_metric(f, name, [f.metrics[task].get(name) for task in tasks]) for name in names]
    for name, value in sorted(f.metrics.get("model", {}).items()):
        rows.append(_metric(f, name, [value] + [None] * (len(tasks) - 1), blank=True))
    head = [*heads(["metric, and how it is computed"], ""), *heads(TITLES.get(task, task) for task in tasks)]
    return table(head, rows, "metrics") + _absent(f) + "".join(_every_video(f, task) for task in TASKS)


def _metric(f: Findings, name: str, values: list[float | None], blank: bool = False) -> str:
    shown = [cell("" if blank and value is None else figure(name, value), "n") for value in values]
    recipe = div("recipe", f"<code>{h(name)}</code> {h(f.recipes.get(name, ''))}")
    return row(cell(f"<b>{h(title(name))}</b>{recipe}"), *shown, kind="copy" if split_name(name)[2] else "")


def _absent(f: Findings) -> str:
    if not f.absent:
        return ""
    reasons: dict[str, list[str]] = {}
    for name in sorted(f.absent, key=sort_key):
        reasons.setdefault(f.absent[name], []).append(f"{h(title(name))} <code>{h(name)}</code>")
    rows = [row(cell("<br>".join(names), "name"), cell(lines(reason))) for reason, names in reasons.items()]
    return f"<h3>Not computed</h3>{p('No zero and no substitute stands in their place.', kind='note')}{table((), rows)}"


def _every_video(f: Findings, task: str) -> str:
    videos = {name: values for (of, name), values in f.per_clip.items() if of == task}
    if not videos:
        return ""
    names = sorted({n for values in videos.values() for n in values if split_name(n)[0]}, key=sort_key)
    rows = [
        row(cell(h(video.replace("__", " ← ")), "name"), *(cell(figure(n, values.get(n)), "n") for n in names))
        for video, values in sorted(videos.items())
    ]
    content = table([*heads([""]), *heads(map(title, names))], rows)
    return f"<details><summary>{h(TITLES[task])}: every video ({len(videos)})</summary>{content}</details>"


def training(f: Findings) -> str:
    """Curves and cost of training, cost of personalisation."""
    seconds = [values["seconds"] for values in f.curve if "seconds" in values]
    drawn = []
    for key, label, log in (("psnr", "PSNR of the training rays, dB", False), ("loss", "loss", True)):
        values = [entry[key] for entry in f.curve if key in entry]
        if len(values) == len(seconds) > 1:
            drawn.append(div("", charts.line_chart(seconds, values, title=label, x_label="seconds", y_label=label, log=log)))
    columns = {"generic model": f.training}
    columns |= {f"personalised, {who}": f.personal[who] for who in ("seen", "unseen") if who in f.personal}
    rows = []
    for key, label in TRAINING.items():
        found = [reports.get(key) for reports in columns.values()]
        if any(isinstance(value, int | float) for value in found):
            rows.append(row(cell(label), *(cell(grouped(v) if isinstance(v, int | float) else "–", "n") for v in found)))
    return (div("two", *drawn) if drawn else "") + table([*heads([""]), *heads(columns)], rows)


def identity_codes(f: Findings) -> str:
    """Where the identity codes lie, and whose neighbour is whom."""
    names = list(f.model.clips)
    if len(names) < 2:
        return p("One clip has one code and no neighbours.", kind="note")
    who = {person.clip: person.person for person in f.people}
    persons = list(dict.fromkeys(who.get(name, name) for name in names))
    groups = [persons.index(who.get(name, name)) for name in names]
    text = p(
        "Each clip has one learned identity code. Two clips of one person have two, and nothing tells the model that they belong together."
    )
    points = codes.layout_of(f.model.identity_codes, f.config.seed)
    chart = ""
    if points is not None:
        chart = charts.scatter(points, names, groups, title="t-SNE of the identity codes") + p(
            f"t-SNE, perplexity {codes.perplexity_for(len(names)):.3g}, seed {f.config.seed}, {len(names)} codes. With so few,",
            "distances in the picture mean little; the table is the measurement.",
            kind="note",
        )
    return text + div("two", div("", chart), div("", _neighbours(f, names, groups)))


def _neighbours(f: Findings, names: list[str], groups: list[int]) -> str:
    distance = codes.neighbours(f.model.identity_codes)
    rows, twins, hits = [], 0, 0
    for i, name in enumerate(names):
        near = sorted((j for j in range(len(names)) if j != i), key=lambda j: (distance[i, j], j))
        if groups.count(groups[i]) > 1:
            twins += 1
            hits += groups[near[0]] == groups[i]
        shown = ", ".join(f'{h(names[j])} <span class="note">{distance[i, j]:.2f}</span>' for j in near[:3])
        rows.append(row(cell(h(name), "name"), cell(shown)))
    verdict = (
        p(f"Of {count(twins, 'clip')} that share their person with another clip, {hits} have it as nearest neighbour.") if twins else ""
    )
    return verdict + table(heads(("clip", "nearest codes (cosine distance of the codes less their mean)"), ""), rows)


UNSHOWN = ("work", "download", "report", "rig", "audio")
"""Sections that change nothing that the page shows."""


def parameters(f: Findings) -> str:
    """The parameters of the run; the settings of the field that was not used are left out."""
    other = {"grid": "train.mlp", "mlp": "train.grid"}[f.config.train.field]
    sections = [(name, values) for name, values in _flat("", f.config) if name.split(".")[0] not in UNSHOWN and name != other and values]
    return div("params", *(_section(name, values) for name, values in sections))


def _flat(name: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    own: dict[str, Any] = {}
    below = []
    for entry in dataclasses.fields(value):
        inner = getattr(value, entry.name)
        if dataclasses.is_dataclass(inner):
            below += _flat(f"{name}.{entry.name}".lstrip("."), inner)
        else:
            own[entry.name] = inner
    return [(name, own), *below]


def _section(name: str, values: dict[str, Any]) -> str:
    rows = "".join(f"<dt><code>{h(key)}</code></dt><dd><code>{h(_written(value))}</code></dd>" for key, value in values.items())
    return div("", f"<b>{h(name or 'top level')}</b>", f"<dl>{rows}</dl>")


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
