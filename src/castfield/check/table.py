"""The check in the terminal: per clip what it is, what goes well, what does not and what to do."""

from __future__ import annotations

import textwrap

from castfield.check.finding import VERDICTS, Finding, Level, worst
from castfield.check.result import Result, about

MARKS = {Level.FINE: "+", Level.NOTE: "·", Level.REMARK: "!", Level.STOP: "x"}
WIDTH = 120


def table(results: list[Result]) -> str:
    """Every clip's findings, then, for several clips, one line each."""
    parts = ["\n".join(_clip(result)) for result in results]
    if len(results) > 1:
        widest = max(len(result.name) for result in results)
        parts.append("\n".join(f"{result.name.ljust(widest)}  {VERDICTS[result.level]}{_why(result)}" for result in results))
    return "\n\n".join(parts)


def _clip(result: Result) -> list[str]:
    widest = max((len(title) for title, _ in result.findings), default=0)
    lines = [f"{result.name}: {VERDICTS[result.level].upper()}", f"  {about(result.evidence)}"]
    for title, finding in sorted(result.findings, key=lambda told: -told[1].level):
        lines += _finding(title.ljust(widest), finding)
    return lines


def _finding(title: str, finding: Finding) -> list[str]:
    indent = " " * (len(title) + 6)
    lines = textwrap.wrap(finding.text, WIDTH, initial_indent=f"  {MARKS[finding.level]} {title}  ", subsequent_indent=indent)
    if finding.cure:
        lines += textwrap.wrap(f"what to do: {finding.cure}", WIDTH, initial_indent=indent, subsequent_indent=indent)
    return lines


def _why(result: Result) -> str:
    names = [title for title, finding in result.findings if finding.level > Level.NOTE]
    return f" ({', '.join(names)})" if names else ""


def exit_status(results: list[Result]) -> int:
    """0 where every clip can be used, 1 where one cannot."""
    return int(any(worst([finding for _, finding in result.findings]) == Level.STOP for result in results))
