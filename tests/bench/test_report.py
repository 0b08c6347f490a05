"""The two files that the bench writes."""

from __future__ import annotations

import json
from pathlib import Path

from bench.report import Figure, Report

PAGE = "# Figures\nBefore.\n\n<!-- figures: written by `make bench` -->\nold\n<!-- end of figures -->\n\n## What falls short\nWritten by hand.\n"


def a_report(**figures: Figure) -> Report:
    report = Report(postgres="16.14")
    for name, figure in figures.items():
        report.add(name, figure)
    return report


def test_results_have_the_form_that_others_read(tmp_path: Path) -> None:
    a_report(rate=Figure(9_000, "events/s", 12_000, 10_000), p99=Figure(12.34567, "ms", aim=15, lower_is_better=True)).write(
        tmp_path
    )
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "rate": {"value": 9000, "unit": "events/s", "limit": 12000, "ratio": 0.75, "aim": 10000},
        "p99": {"value": 12.35, "unit": "ms", "limit": None, "ratio": None, "aim": 15, "lower_is_better": True},
    }


def test_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    (tmp_path / "RESULTS.md").write_text(PAGE)
    a_report(rate=Figure(9_000, "events/s", 12_000, 10_000)).write(tmp_path)
    page = (tmp_path / "RESULTS.md").read_text()
    assert "Before." in page
    assert "Written by hand." in page
    assert "old" not in page
    assert "| `rate` | 9,000 | events/s | 12,000 | 0.75 | ≥ 10,000 | **short** |" in page
    assert "PostgreSQL 16.14" in page


def test_one_part_measured_again_leaves_the_others(tmp_path: Path) -> None:
    a_report(one=Figure(1, "s"), two=Figure(2, "s")).write(tmp_path)
    a_report(two=Figure(3, "s")).write(tmp_path)
    values = {name: told["value"] for name, told in json.loads((tmp_path / "results.json").read_text()).items()}
    assert values == {"one": 1, "two": 3}


def test_an_aim_is_met_from_the_right_side() -> None:
    assert Figure(10, "events/s", aim=10).reached is True
    assert Figure(9, "events/s", aim=10).reached is False
    assert Figure(9, "ms", aim=10, lower_is_better=True).reached is True
    assert Figure(11, "ms", aim=10, lower_is_better=True).reached is False
    assert Figure(11, "ms").reached is None
