"""Write `docs/parameters.md`, the table of every parameter, from the config classes: `python -m castfield.parameters`."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import typing
from pathlib import Path

from castfield import config

PAGE = Path("docs/parameters.md")

_HEAD = """# Every parameter

Made from `src/castfield/config.py` by `python -m castfield.parameters`. Change one for a run with
`dvc exp run -S section.key=value`, or for good in `params.yaml`.
"""


def sentences(kind: type) -> dict[str, str]:
    """The sentence under each field of a dataclass."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    if not isinstance(body, ast.ClassDef):
        raise TypeError(f"{kind} is not a class")
    found: dict[str, str] = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            text = ast.literal_eval(after.value)
            found[field.target.id] = " ".join(str(text).split())
    return found


def table() -> str:
    """All parameters as Markdown, a section each."""
    return _HEAD + _section("(top level)", config.Config)


def _section(title: str, kind: type) -> str:
    hints, notes = typing.get_type_hints(kind), sentences(kind)
    rows, below = [], ""
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            prefix = "" if title.startswith("(") else f"{title}."
            below += _section(f"{prefix}{field.name}", typing.cast(type, hint))
            continue
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        rows.append(f"| `{field.name}` | `{shown}` | {_kind(hint)} | {notes.get(field.name, '')} |")
    head = "| key | default | values | meaning |\n|---|---|---|---|\n"
    return f"\n## {title}\n\n{head}" + "\n".join(rows) + "\n" + below


def _kind(hint: object) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{v}`" for v in typing.get_args(hint))
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def main() -> None:
    """Write the page."""
    PAGE.write_text(table())
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
