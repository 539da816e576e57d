"""The stage `report`: one self-contained page, `data/report/index.html`."""

from __future__ import annotations

from castfield.config import Config
from castfield.layout import Layout
from castfield.report import closing, headline, numbers, people, shows, tracking
from castfield.report.findings import Findings, gather
from castfield.report.html import h, p, style
from castfield.scratch import atomic


def run(config: Config, layout: Layout) -> None:
    """Write the page. The same outs give the same bytes: it knows no date, no machine and no path."""
    text = page(gather(config, layout))
    with atomic(layout.report / "index.html") as part:
        part.write_text(text, encoding="utf-8")
    print(f"report: {layout.report / 'index.html'} ({len(text.encode()) / 1e6:.1f} MB, nothing outside it)", flush=True)


def page(f: Findings) -> str:
    """The whole page as HTML."""
    sections = [
        ("people", "The people", people.people(f)),
        ("tracking", "Tracking", tracking.tracking(f)),
        ("reconstruction", "Reconstruction", headline.beaten(f) + shows.reconstruction(f)),
        ("transfer", "Expression transfer", shows.transfer(f)),
        ("views", "Novel views", shows.novel_view(f)),
        ("personal", "Personalisation", shows.personal(f)),
        ("metrics", "Every metric", numbers.metrics(f)),
        ("training", "Training", numbers.training(f)),
        ("codes", "Identity codes", numbers.identity_codes(f)),
        ("parameters", "Parameters of this run", numbers.parameters(f)),
        ("responsible", "Responsible use", closing.responsible()),
        ("sources", "Sources", closing.sources(f)),
    ]
    menu = "".join(f'<a href="#{key}">{h(name)}</a>' for key, name, _ in sections)
    body = "\n".join(f'<section id="{key}"><h2>{h(name)}</h2>{content}</section>' for key, name, content in sections)
    end = p(
        "Made by Castfield from the outs of one run. Every video here is synthetic but for those of the tracking and the panels called",
        "ground truth or driver.",
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{h(f.config.report.title)}: {h(f.manifest.title)}</title>\n<style>{style()}</style></head>\n"
        f"<body><header>{headline.head(f)}{headline.key_figures(f)}<nav>{menu}</nav></header>\n<main>{body}</main>\n"
        f"<footer>{end}</footer></body></html>\n"
    )
