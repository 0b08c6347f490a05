"""Writes docs/errors.md from the error classes, or with `--check` says whether it is up to date."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "errors.md"

_HEAD = """\
# Errors

Every error answer has its HTTP status and the body `{error, message, code, details?, requestId}`. `code` never changes its
meaning; `message` is for people and may. Where waiting helps, `Retry-After` tells the seconds.

This page is written by `make docs` from the classes in the code.

| status | code | error | what it means, and what to do |
|---|---|---|---|
"""


def document() -> str:
    """The page."""
    import guerdon  # noqa: PLC0415 - the modules that declare errors are found through it
    from guerdon.kit.errors import registered_errors  # noqa: PLC0415

    for module in pkgutil.walk_packages(guerdon.__path__, "guerdon."):
        # Modules with side effects (Alembic's scripts, commands) declare no errors.
        if not module.name.startswith(("guerdon.migrations", "guerdon.cli")) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    rows: list[str] = []
    for error in registered_errors():
        if error.__module__.startswith("guerdon."):
            meaning = " ".join((error.__doc__ or "").split()).replace("|", "\\|")
            rows.append(f"| {error.status} | `{error.code}` | {error.title} | {meaning} |\n")
    return _HEAD + "".join(rows)


def main() -> int:
    """Write or check."""
    page = document()
    if "--check" in sys.argv[1:]:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != page:
            print("docs/errors.md is out of date: run `make docs`")
            return 1
        return 0
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
