"""How commands talk: tables and JSON on stdout, errors on stderr with what to do next, exit code 1."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ProgramOption = Annotated[
    str | None,
    typer.Option("--program", "-p", metavar="BRAND_ID", help="The program; not needed where there is only one."),
]
_NUMBERS = frozenset({"reward", "points", "amount", "reversed", "times"})
_WIDE = 1000
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")]


class CommandError(Exception):
    """Ends a command: what is wrong, and what to do about it."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(message)


def fail(message: str, remedy: str | None = None) -> NoReturn:
    """Print an error and leave with exit code 1."""
    typer.echo(f"error: {message}", err=True)
    if remedy:
        typer.echo(f"  what to do: {remedy}", err=True)
    raise typer.Exit(1)


def print_json(value: Any) -> None:
    """One JSON document on stdout, for programs to read."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table for people; `empty` says what to do where there is nothing to show."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        typer.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # What people copy is never broken over lines; the other columns give way.
        is_copied = column.endswith("id") or column == "event type"
        table.add_column(column, overflow="fold", no_wrap=is_copied, justify="right" if column in _NUMBERS else "left")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    # Nothing is folded where a program, or a person through `less -S`, reads it.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """One thing, a line a field."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        typer.echo(f"{name:<{width}}  {cell(value)}")


def cell(value: object) -> str:
    """A value as a table shows it."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return ", ".join(cell(item) for item in value) or "-"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            return str(value)


def private_key_of(file: str | None, variable: str) -> str | None:
    """A private key from a file (`-`: stdin) or an environment variable; never from an argument, which every user can list.

    Raises `CommandError`.
    """
    if file is None:
        return os.environ.get(variable) or None
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} can't be read: {error}"
        raise CommandError(message, "name a file that holds nothing but the key, or - for stdin") from error
    return text.strip()


def parse_id(text: str) -> UUID:
    """An id that was typed. Raises `CommandError`."""
    try:
        return UUID(text)
    except ValueError as error:
        message = f"{text} is no id"
        raise CommandError(message, "copy it from the list command of this group") from error
