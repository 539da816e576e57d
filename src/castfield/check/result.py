"""A clip with everything that was found."""

from __future__ import annotations

from dataclasses import dataclass

from castfield.check.criteria import judge
from castfield.check.evidence import Evidence
from castfield.check.finding import Finding, Level, worst
from castfield.media import FPS


@dataclass(frozen=True)
class Result:
    """One clip, judged."""

    name: str
    evidence: Evidence
    findings: list[tuple[str, Finding]]
    """Title and finding of every criterion that could tell."""

    @property
    def level(self) -> Level:
        """The gravest."""
        return worst([finding for _, finding in self.findings])


def result(name: str, evidence: Evidence) -> Result:
    """Judge a clip."""
    return Result(name, evidence, judge(evidence))


def about(e: Evidence) -> str:
    """What the clip is, in a line: size, rate, length, sound, and how much of it was looked at."""
    if e.opened is None:
        return "no picture can be read"
    header, film = e.opened.header, e.opened.film
    rate = f"{e.packets.rate:.4g}" if e.packets else f"{header.fps:g}"
    facts = [f"{film.width} × {film.height} pixels", f"{rate} pictures a second", f"{e.frames / FPS:.1f} s"]
    facts.append("with sound" if e.wave is not None else "silent" if header.has_sound else "without sound")
    if e.views is not None:
        looked = f"{len(e.views.found)} frames looked at closely"
        facts.append(looked if len(e.parts) == 1 else f"{looked}, in {len(e.parts)} stretches")
    return ", ".join(facts)
