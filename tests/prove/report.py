"""What a campaign found, for people (markdown) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.prove.run import Result, Verdict

_CLASSES = {
    "lost": ("lost",),
    "doubled": ("doubled",),
    "stuck": ("stuck", "quarantined", "reserved for nothing"),
}
"""Beginnings of the judge's sentences; whatever begins otherwise is `wrong`."""


def classes(complaints: Sequence[str]) -> dict[str, int]:
    """How many complaints there are of each class."""
    found = dict.fromkeys((*_CLASSES, "wrong"), 0)
    for complaint in complaints:
        named = next((name for name, beginnings in _CLASSES.items() if complaint.startswith(beginnings)), "wrong")
        found[named] += 1
    return found


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """All of it, in figures."""
    proven = [result for result in results if result.verdict is not Verdict.MISSED]
    faults: dict[str, dict[str, Any]] = {}
    for result in sorted(results, key=lambda one: (one.fault, one.seed)):
        entry = faults.setdefault(result.fault, {"runs": 0, "missed": 0, "broken": 0, "events": 0, "payouts": 0, "seeds": []})
        entry["runs"] += result.verdict is not Verdict.MISSED
        entry["missed"] += result.verdict is Verdict.MISSED
        entry["broken"] += result.verdict is Verdict.BROKEN
        entry["events"] += result.events
        entry["payouts"] += result.payouts
        entry["seeds"].append(result.seed)
    return {
        "runs": len(proven),
        "missed": len(results) - len(proven),
        "broken": sum(result.verdict is Verdict.BROKEN for result in results),
        **classes([complaint for result in results for complaint in result.complaints]),
        "events": sum(result.events for result in results),
        "payouts": sum(result.payouts for result in results),
        "deadlocks": sum(len(result.deadlocks) for result in results),
        "minutes": round(sum(result.seconds for result in results) / 60, 1),
        "faults": faults,
    }


def markdown(results: Sequence[Result]) -> str:
    """The page."""
    told = summary(results)
    lines = [
        "# What broke",
        "",
        (
            f"{told['runs']} runs over {len(told['faults'])} faults: **{told['lost']} lost, {told['doubled']} doubled, "
            f"{told['stuck']} stuck, {told['wrong']} wrong**. {told['events']} events, {told['payouts']} payouts, "
            f"{told['minutes']} minutes. In {told['missed']} more runs the moment of the fault did not come; they count for nothing. "
            f"PostgreSQL ended {told['deadlocks']} deadlocks."
        ),
        "",
        "| fault | runs | missed | broken | events | payouts | seeds |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for name, entry in told["faults"].items():
        seeds = ", ".join(map(str, entry["seeds"]))
        figures = " | ".join(str(entry[column]) for column in ("runs", "missed", "broken", "events", "payouts"))
        lines.append(f"| {name} | {figures} | {seeds} |")
    for result in results:
        if result.verdict is Verdict.BROKEN:
            lines += ["", f"## {result.fault}, seed {result.seed}", "", f"{result.did}. Again: `{result.command}`", ""]
            lines += [f"* {complaint}" for complaint in result.complaints[:50]]
    for result in results:
        for deadlock in result.deadlocks:
            lines += ["", f"## A deadlock during {result.fault}, seed {result.seed}", "", "```", deadlock, "```"]
    return "\n".join(lines) + "\n"


def write_holes(found: Mapping[str, Sequence[Result]], path: Path) -> None:
    """After how many runs each hole was found, and by what."""
    lines = ["# Holes put in on purpose", "", "| hole | runs until found | by | first complaint |", "|---|--:|---|---|"]
    for name, results in found.items():
        last = results[-1] if results and results[-1].verdict is Verdict.BROKEN else None
        by, complaint = ("", "**not found**") if last is None else (f"{last.fault}, seed {last.seed}", last.complaints[0])
        lines.append(f"| {name} | {len(results)} | {by} | {complaint} |")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = {name: [result.to_json() for result in results] for name, results in found.items()}
    path.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def write(results: Sequence[Result], path: Path) -> None:
    """The page at `path`, and beside it the same as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown(results), encoding="utf-8")
    found = summary(results) | {"results": [result.to_json() for result in results]}
    path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
