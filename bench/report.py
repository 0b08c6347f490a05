"""What was measured: `results.json`, and the table in `RESULTS.md`, whose hand-written parts stay as they are."""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

FOLDER = Path(__file__).parent
_BEGIN, _END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


class BenchError(Exception):
    """A figure can't be had, or doesn't count: what was answered is not what is in the books."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `limit` is what the same machine gives at most, in the same unit; `aim` is in that unit too."""

    value: float
    unit: str
    limit: float | None = None
    aim: float | None = None
    lower_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """The value as a part of its limit."""
        return None if not self.limit else round(self.value / self.limit, 3)

    @property
    def reached(self) -> bool | None:
        """Whether the aim was met; None without one."""
        if self.aim is None:
            return None
        return self.value <= self.aim if self.lower_is_better else self.value >= self.aim

    def as_json(self) -> dict[str, Any]:
        """As it stands in `results.json`."""
        told = {"value": _short(self.value), "unit": self.unit, "limit": _short(self.limit), "ratio": self.ratio, "aim": self.aim}
        return {**told, "lower_is_better": True} if self.lower_is_better else told


@dataclass(slots=True)
class Report:
    """The figures of one run."""

    figures: dict[str, Figure] = field(default_factory=dict[str, Figure])
    postgres: str = ""
    """Its version, once one was asked."""

    def add(self, name: str, figure: Figure) -> None:
        """Note a figure."""
        self.figures[name] = figure

    def write(self, folder: Path) -> None:
        """Write both files. Figures of earlier runs that were not measured now stay, so that one part can be done again."""
        folder.mkdir(parents=True, exist_ok=True)
        results = folder / "results.json"
        earlier: dict[str, Any] = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
        merged = {**earlier, **{name: figure.as_json() for name, figure in self.figures.items()}}
        results.write_text(json.dumps(merged, indent=2) + "\n", encoding="utf-8")
        page = folder / "RESULTS.md"
        before = page.read_text(encoding="utf-8") if page.exists() else (FOLDER / "RESULTS.md").read_text(encoding="utf-8")
        start, rest = before.split(_BEGIN)
        page.write_text(f"{start}{_BEGIN}\n{self._page(merged)}{_END}{rest.split(_END)[1]}", encoding="utf-8")

    def _page(self, merged: dict[str, Any]) -> str:
        lines = [*self._machine(), "", "| figure | value | unit | limit | ratio | aim | |", "|---|---:|---|---:|---:|---:|---|"]
        for name, told in merged.items():
            figure = Figure(told["value"], told["unit"], told["limit"], told["aim"], told.get("lower_is_better", False))
            lines.append("| " + " | ".join([f"`{name}`", *cells(figure)]) + " |")
        return "\n".join([*lines, ""])

    def _machine(self) -> list[str]:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        return [
            f"* cores: {os.cpu_count()}, {platform.machine()}, {found[1] if found else 'model unknown'}",
            f"* memory: {memory:.0f} GiB; {platform.system()} {platform.release()}",
            f"* Python {platform.python_version()}; PostgreSQL {self.postgres or 'not asked in this run'}",
        ]


def cells(figure: Figure) -> list[str]:
    """A figure as it is shown: value, unit, limit, ratio, aim, and whether the aim is met."""
    aim = "" if figure.aim is None else f"{'≤' if figure.lower_is_better else '≥'} {_shown(figure.aim)}"
    reached = {None: "", True: "met", False: "**short**"}[figure.reached]
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return [_shown(figure.value), figure.unit, _shown(figure.limit), ratio, aim, reached]


def table(figures: dict[str, Figure]) -> Table:
    """The figures for a terminal."""
    shown = Table(box=None, padding=(0, 1, 0, 0), expand=False)
    for column in ("figure", "value", "unit", "limit", "ratio", "aim", ""):
        shown.add_column(column, no_wrap=True, justify="left" if column in {"figure", "unit"} else "right")
    for name, figure in figures.items():
        shown.add_row(name, *(cell.replace("**", "") for cell in cells(figure)))
    return shown


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}") if abs(value) < 1000 else round(value)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
