"""How to use it responsibly, and what it stands on."""

from __future__ import annotations

from castfield.report.findings import Findings
from castfield.report.html import h, p

PAPERS = {
    "mi_nerf": "A. Chatziagapi, G. G. Chrysos, D. Samaras. MI-NeRF: Learning a Single Face NeRF from Multiple Identities. 2024.",
    "talkinnerf": (
        "A. Chatziagapi, B. Chaudhuri, A. Kumar, R. Ranjan, D. Samaras, N. Sarafianos. "
        "TalkinNeRF: Animatable Neural Fields for Full-Body Talking Humans. 2024."
    ),
    "dfa_nerf": (
        "S. Yao, R. Zhong, Y. Yan, G. Zhai, X. Yang. "
        "DFA-NeRF: Personalized Talking Head Generation via Disentangled Face Attributes Neural Rendering. 2022."
    ),
}
ALWAYS = (
    "B. Mildenhall, P. P. Srinivasan, M. Tancik, J. T. Barron, R. Ramamoorthi, R. Ng. "
    "NeRF: Representing Scenes as Neural Radiance Fields for View Synthesis. ECCV 2020.",
    "L. van der Maaten, G. Hinton. Visualizing Data using t-SNE. Journal of Machine Learning Research, 2008.",
)


def responsible() -> str:
    """Responsible use (after MI-NeRF's ethics section)."""
    return p(
        "This software makes people say and do what they did not. Use it on yourself, on people who agreed to it, or on footage",
        "whose licence allows it. Say that a result is synthetic wherever you show it: every video made here carries a visible",
        "mark, <i>synthetic · Castfield</i>, and a note in its container; leave them in place. Do not use it to deceive,",
        "to impersonate, to harass or to identify anyone.",
    ) + p("A mark can be removed and a detector can err: this one is for honest viewers, not a lock against dishonest makers.", kind="note")


def sources(f: Findings) -> str:
    """The papers and the data set."""
    listed = [PAPERS[f.config.system], *ALWAYS, *([f.manifest.citation] if f.manifest.citation else [])]
    licence = f", {h(f.manifest.license)}" if f.manifest.license else ""
    text = p(
        f"System, modules and losses follow the first paper below. Footage: {h(f.manifest.title)}{licence}.",
        "If you publish with this, please cite:",
    )
    return text + f"<ul>{''.join(f'<li>{h(paper)}</li>' for paper in listed)}</ul>"
