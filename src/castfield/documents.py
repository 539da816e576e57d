"""Tables that a command measures and puts into a page of the documents, between marks of their own."""

from __future__ import annotations

from pathlib import Path

from castfield.scratch import atomic


def fill(page: Path, name: str, table: str) -> None:
    """Put a table (lines of Markdown) between `<!-- table: NAME -->` and `<!-- end: NAME -->`. ValueError where the marks are not there."""
    begin, end = f"<!-- table: {name} -->\n", f"<!-- end: {name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} has no place for the table '{name}'")
    with atomic(page) as part:
        part.write_text(before + begin + table.rstrip("\n") + "\n" + end + after)
