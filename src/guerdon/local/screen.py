"""What `guerdon up` shows: a row a service while it starts, then what runs where, and a line for whatever happens later.

On a terminal the rows are drawn in place; in a pipe or a log each is one line once it is settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


class RowState(StrEnum):
    """How far one row is."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


_MARKS = {RowState.WAITING: "[dim]·[/]", RowState.READY: "[green]✓[/]", RowState.FAILED: "[red]✗[/]"}


@dataclass(slots=True)
class _Row:
    name: str
    state: RowState = RowState.WAITING
    detail: str = ""
    seconds: float | None = None


class Screen:
    """The terminal, or whatever stands in for it."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._rows: dict[str, _Row] = {}
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None

    def begin(self, title: str, names: Sequence[str]) -> None:
        """Show the title and a row for each name."""
        self.console.print(f"[bold]{escape(title)}[/]\n")
        self._rows = {name: _Row(name) for name in names}
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=10, transient=False)
            self._live.start()

    def row(self, name: str, state: RowState, detail: str | None = None, seconds: float | None = None) -> None:
        """Change one row; `detail` None leaves what stands there."""
        row = self._rows.setdefault(name, _Row(name))
        row.state = state
        row.detail = row.detail if detail is None else detail
        row.seconds = seconds
        if self._live is None and state in {RowState.READY, RowState.FAILED}:
            took = "" if seconds is None else f" ({seconds:.1f} s)"
            self.line(f"{'ready ' if state is RowState.READY else 'failed'} {name:<10}{row.detail}{took}")

    def end(self) -> None:
        """The rows are settled: they stay, and lines follow."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self) -> RenderableType:
        return self._lines(list(self._rows.values()))

    def _lines(self, rows: Sequence[_Row]) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=3, justify="right")
        table.add_column(width=max(len(name) for name in self._rows) + 1)
        table.add_column(overflow="fold")
        for row in rows:
            mark = self._spinner if row.state is RowState.STARTING else _MARKS[row.state]
            took = "" if row.seconds is None else f" [dim]({row.seconds:.1f} s)[/]"
            table.add_row(mark, f"[bold]{escape(row.name)}[/]", f"{escape(row.detail)}{took}")
        return table

    def working(self, sentence: str) -> AbstractContextManager[object]:
        """Say what is being waited for, for the time of a block."""
        if self.console.is_terminal:
            return self.console.status(f"[dim]{escape(sentence)}[/]")
        self.line(sentence)
        return nullcontext()

    def line(self, sentence: str = "", *, style: str = "") -> None:
        """One line as it is."""
        self.console.print(Text(sentence, style=style))

    def heading(self, title: str) -> None:
        """A heading, apart from what stands above."""
        self.console.print(f"\n[bold]{escape(title)}[/]")

    def fields(self, title: str, fields: Sequence[tuple[str, str]]) -> None:
        """A heading with names and values below it."""
        self.heading(title)
        width = max(len(name) for name, _ in fields)
        for name, value in fields:
            self.console.print(Text.assemble("  ", (f"{name:<{width}}", "dim"), "  ", value))

    def happened(self, name: str, sentence: str) -> None:
        """Something that a person should know: in its row while that starts, later a line with the time of day."""
        row = self._rows.get(name)
        if row is not None and row.state is RowState.STARTING:
            row.detail = sentence
            return
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        self.console.print(Text.assemble((now, "dim"), " ", (name, "bold"), " ", sentence))

    def failed(self, message: str, remedy: str, said: str = "") -> None:
        """What went wrong, what it said itself, and what to do."""
        self.end()
        self.console.print(Text.assemble(("\nerror: ", "bold red"), message))
        for line in said.splitlines():
            self.console.print(Text(f"  | {line}", style="dim"))
        self.console.print(Text.assemble(("  what to do: ", "dim"), remedy))
