"""How `guerdon status` looks: tables side by side where there is room, one below the other where there is not.

Nothing is told by colour alone, and only colours that a light and a dark terminal have are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from guerdon.status.advice import SILENT_SECONDS
from guerdon.status.views import AlertStatus, ProcessView, ReportsView, Status

WIDE: Final = 118
_LEFT: Final = 56
_BETWEEN: Final = 4
_NAMES: Final = {"deliveries": "payouts", "intents": "transactions"}
_STYLES: Final = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_MARKS: Final = {"critical": "✗", "warning": "!", "info": "i"}
_NUMBERS: Final = frozenset(
    {
        "up", "lag", "memory", "reports", "a second", "count", "oldest", "head", "age", "final", "gwei", "cap", "lease", "nonce",
        "in flight", "native", "holds", "reserved", "free", "paid in 24 h", "lasts",
    }
)  # fmt: skip
_GAP: Final = 2
_LONG: Final = 60.0
"""Seconds from which on an age is worth a look."""
_MIB: Final = 1 << 20
_WEI_DECIMALS: Final = 18
_GWEI_DECIMALS: Final = 9
_SHOWN_DECIMALS: Final = 4

Cell = str | Text


def view(status: Status, *, width: int, footer: str | None = None, warning: str | None = None) -> RenderableType:
    """All of it, for a terminal of so many columns."""
    is_wide = width >= WIDE
    rest = width - _LEFT - _BETWEEN if is_wide else width
    left = _stacked([_processes(status.processes, _LEFT if is_wide else width), _reports(status.reports)])
    right = _stacked([_states(status, rest), _networks(status, rest)])
    body = Table.grid(padding=(0, _BETWEEN, 0, 0)) if is_wide else Group(left, right)
    if isinstance(body, Table):
        body.add_row(left, right)
    parts: list[RenderableType] = [_header(status)]
    if warning is not None:
        parts.append(Text(warning, style="bold red"))
    parts += [Text(), *_alerts(status), body, _stacked([_keys(status, width), _treasuries(status, width)]), *_next(status)]
    if footer is not None:
        parts += [Text(), Text(footer, style="dim")]
    return Group(*parts)


def print_once(status: Status, console: Console) -> None:
    """Print it and be done."""
    console.print(view(status, width=console.width))


def _header(status: Status) -> RenderableType:
    title = Text.assemble(("Guerdon", "bold"), ("  " + status.at.strftime("%Y-%m-%d %H:%M:%S UTC"), "dim"))
    critical = sum(one.severity == "critical" for one in status.alerts)
    if status.alerts_count:
        count = f"{status.alerts_count} open alert{'s' if status.alerts_count > 1 else ''}"
        verdict = Text(
            f"✗ {count}, {critical} critical" if critical else f"! {count}", style="bold red" if critical else "yellow"
        )
    elif status.next_steps:
        verdict = Text("! something to do", style="yellow")
    else:
        verdict = Text("✓ all is well", style="green")
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    line.add_row(title, verdict)
    return line


def _alerts(status: Status) -> list[RenderableType]:
    if not status.alerts:
        return []
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(overflow="fold")
    for one in status.alerts:
        style = _STYLES.get(one.severity, "")
        table.add_row(Text(_MARKS.get(one.severity, "?"), style=style), _alert(one, style))
    more = status.alerts_count - len(status.alerts)
    if more > 0:
        table.add_row("", Text(f"and {more} more: guerdon alert list", style="dim"))
    return [_titled("Alerts", table), Text()]


def _alert(one: AlertStatus, style: str) -> Text:
    told = Text.assemble((one.kind, style), (f"  for {age(one.since_seconds)}", "dim"))
    if one.times > 1:
        told.append(f", {one.times:,} times", style="dim")
    told.append(f"\n{one.message}")
    told.append(f"\n→ {one.remedy}", style="cyan")
    return told


def _processes(processes: Sequence[ProcessView], width: int) -> RenderableType:
    rows: list[list[Cell]] = []
    for one in processes:
        is_silent = one.seen_seconds > SILENT_SECONDS
        state = f"silent {age(one.seen_seconds)}" if is_silent else one.ready or "running"
        rows.append(
            [
                one.role,
                one.place,
                Text(state, style="red" if is_silent or one.ready in {"unreachable", "not ready"} else "green"),
                age(one.up_seconds),
                "-" if one.loop_lag_ms is None else _late(f"{one.loop_lag_ms:,.0f} ms", is_late=one.loop_lag_ms > 200),  # noqa: PLR2004
                "-" if one.resident_bytes is None else f"{one.resident_bytes // _MIB:,} MiB",
            ]
        )
    columns = ["role", "where", "is", "up", "lag", "memory"]
    table = _table(columns, rows, width, empty="none is seen", expendable=("memory", "lag", "up"))
    return _titled("Processes", table)


def _reports(reports: ReportsView) -> RenderableType:
    total = reports.booked + reports.repeated + sum(reports.refused.values())
    rows: list[list[Cell]] = [["booked", f"{reports.booked:,}", _rate(reports.booked, reports.seconds)]]
    if reports.repeated:
        rows.append(["repeated", f"{reports.repeated:,}", _rate(reports.repeated, reports.seconds)])
    rows += [[Text(code, style="yellow"), f"{count:,}", _rate(count, reports.seconds)] for code, count in reports.refused.items()]
    table = _table(["outcome", "reports", "a second"], rows if total else [], _LEFT, empty="none")
    return _titled("Reports of the last minute", table)


def _states(status: Status, width: int) -> RenderableType:
    rows: list[list[Cell]] = []
    for one in status.states:
        style = "red" if one.state in {"unknown", "quarantined", "failed_onchain"} else ""
        rows.append(
            [
                _NAMES.get(one.what, one.what),
                Text(one.state, style=style),
                f"{one.count:,}",
                _late(age(one.oldest_seconds), is_late=one.oldest_seconds > _LONG),
                one.moved_by,
            ]
        )
    rows += [
        ["work", Text(kind, style="red"), "due", _late(age(late), is_late=late > _LONG), "a worker"]
        for kind, late in status.late_work.items()
    ]
    columns = ["what", "state", "count", "oldest", "moved by"]
    table = _table(columns, rows, width, empty="nothing: everything is paid", expendable=("moved by",))
    return _titled("On its way", table)


def _networks(status: Status, width: int) -> RenderableType:
    rows: list[list[Cell]] = [
        [
            one.name,
            "-" if one.head_block is None else f"{one.head_block:,}",
            "-" if one.head_age_seconds is None else _late(age(one.head_age_seconds), is_late=one.head_age_seconds > _LONG),
            "-" if one.finalized_lag_blocks is None else f"{one.finalized_lag_blocks:,} behind",
            "-" if one.base_fee_wei is None else amount(one.base_fee_wei, _GWEI_DECIMALS),
            "none" if one.fee_cap_wei is None else amount(one.fee_cap_wei, _GWEI_DECIMALS),
        ]
        for one in status.networks
    ]
    columns = ["network", "head", "age", "final", "gwei", "cap"]
    table = _table(columns, rows, width, empty="none is set up: guerdon network add", expendable=("cap", "gwei"))
    return _titled("Chains", table)


def _keys(status: Status, width: int) -> RenderableType:
    rows: list[list[Cell]] = []
    for one in status.keys:
        held: Cell = one.held_by or Text("nobody", style="yellow")
        if one.paused is not None:
            held = Text("paused", style="red")
        native = "-" if one.native_wei is None else amount(one.native_wei, _WEI_DECIMALS)
        rows.append(
            [f"{one.purpose} {short(one.address)}", held, str(one.epoch), f"{one.next_nonce:,}", str(one.in_flight), native]
        )
    columns = ["key", "held by", "lease", "nonce", "in flight", "native"]
    table = _table(columns, rows, width, empty="none yet: guerdon contracts deploy", expendable=("lease", "nonce", "in flight"))
    return _titled("Keys", table)


def _treasuries(status: Status, width: int) -> RenderableType:
    rows: list[list[Cell]] = []
    for one in status.treasuries:
        free = Text(amount(one.free, one.decimals), style="red" if one.low else "")
        lasts = "-" if one.lasts_days is None else f"{one.lasts_days:,.1f} days"
        rows.append(
            [
                one.asset,
                one.network,
                amount(one.balance, one.decimals),
                amount(one.reserved, one.decimals),
                free,
                amount(one.paid_a_day, one.decimals),
                lasts if one.paused is None else Text("paused", style="red"),
            ]
        )
    columns = ["asset", "network", "holds", "reserved", "free", "paid in 24 h", "lasts"]
    expendable = ("reserved", "paid in 24 h", "holds", "network")
    return _titled("Treasuries", _table(columns, rows, width, empty="none yet: guerdon treasury create", expendable=expendable))


def _next(status: Status) -> list[RenderableType]:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(overflow="fold")
    for step in [*status.unreachable, *status.next_steps]:
        table.add_row(Text("→", style="cyan"), Text(step))
    if not status.next_steps and not status.unreachable:
        table.add_row(Text("✓", style="green"), Text("Nothing to do."))
    return [_titled("Next", table)]


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(title, style="bold"), body)


def _stacked(parts: Iterable[RenderableType]) -> RenderableType:
    return Group(*(piece for part in parts for piece in (part, Text())))


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], width: int, *, empty: str, expendable: Sequence[str] = ()
) -> RenderableType:
    """A table of as many of its columns as fit; those that `expendable` names go first, in this order."""
    if not rows:
        return Text(empty, style="dim")
    widths = [max(cell_len(str(cell)) for cell in (column, *cells)) for column, *cells in zip(columns, *rows, strict=True)]
    shown = list(range(len(columns)))
    for name in expendable:
        if sum(widths[place] + _GAP for place in shown) > width:
            shown.remove(columns.index(name))
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for place in shown:
        is_number = columns[place] in _NUMBERS
        table.add_column(columns[place], justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in rows:
        table.add_row(*(row[place] for place in shown))
    return table


def _late(words: str, *, is_late: bool) -> Text:
    return Text(words, style="yellow" if is_late else "")


def _rate(count: int, seconds: float) -> str:
    return "-" if seconds < 1 else f"{count / seconds:,.1f}"


def age(seconds: float) -> str:
    """How long ago, in the unit that a person would say."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def amount(atomic: int, decimals: int) -> str:
    """An amount in whole units, cut off after four decimals; never more than there is."""
    whole, rest = divmod(int(atomic), 10**decimals)
    shown = f"{rest:0{decimals}d}"[:_SHOWN_DECIMALS].rstrip("0") if decimals else ""
    if not shown:
        return "<0.0001" if not whole and rest else f"{whole:,}"
    return f"{whole:,}.{shown}"


def short(address: str) -> str:
    """An address that a person can tell from others; `--json` and the lists have all of it."""
    return f"{address[:6]}…{address[-4:]}"
