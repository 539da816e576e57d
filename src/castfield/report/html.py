"""Bits of HTML. Arguments are HTML already, unless a docstring says text; `h` makes text HTML."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files


def h(text: object) -> str:
    """Text as HTML."""
    return escape(str(text), quote=True)


def lines(text: str) -> str:
    """Text of several lines as HTML."""
    return h(text.strip()).replace("\n", "<br>")


def p(*parts: str, kind: str = "") -> str:
    """A paragraph of the parts, one space between them."""
    return f"<p{_class(kind)}>{' '.join(parts)}</p>"


def div(kind: str, *parts: str) -> str:
    """A division of the parts."""
    return f"<div{_class(kind)}>{''.join(parts)}</div>"


def cell(content: str, kind: str = "", tag: str = "td") -> str:
    """A cell of a table."""
    return f"<{tag}{_class(kind)}>{content}</{tag}>"


def row(*cells: str, kind: str = "") -> str:
    """A row of cells."""
    return f"<tr{_class(kind)}>{''.join(cells)}</tr>"


def table(head: Iterable[str], rows: Iterable[str], kind: str = "") -> str:
    """A table that scrolls by itself on a narrow screen; `head` are cells, empty for none."""
    top = "".join(head)
    top = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<div class="scroll"><table{_class(kind)}>{top}<tbody>{"".join(rows)}</tbody></table></div>'


def heads(names: Iterable[str], kind: str = "n") -> list[str]:
    """Head cells from text."""
    return [cell(h(name), kind, "th") for name in names]


def style() -> str:
    """The style sheet."""
    return files("castfield.report").joinpath("style.css").read_text(encoding="utf-8")


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
