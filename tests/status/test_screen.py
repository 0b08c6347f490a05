"""What `guerdon status` shows: nothing is cut off on a narrow terminal, nothing is told by colour alone."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from guerdon.status.advice import next_steps
from guerdon.status.screen import age, amount, view
from guerdon.status.views import (
    AlertStatus,
    KeyStatus,
    NetworkView,
    ProcessView,
    ReportsView,
    ShortProgram,
    StateView,
    Status,
    TreasuryStatus,
)
from tests.support.commands import accept, commands_in

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
BRAND = "0x00000000000000000000000000000000000000aa"


def process(role: str, **changes: object) -> ProcessView:
    values = {
        "role": role, "place": f"{role[:3]}-machine:4711", "version": "0.1.0", "address": None, "up_seconds": 7200,
        "seen_seconds": 3, "loop_lag_ms": 4, "resident_bytes": 150 << 20, "ready": "ready" if role == "web" else None,
    }  # fmt: skip
    return ProcessView.model_validate({**values, **changes})


def all_is_well() -> Status:
    return Status(
        at=NOW,
        deployment=None,
        processes=[process("web"), process("worker")],
        reports=ReportsView(seconds=60, booked=600, repeated=0, refused={}),
        states=[],
        late_work={},
        networks=[
            NetworkView(
                name="local", seen_seconds=4, head_block=1234, head_age_seconds=2, finalized_lag_blocks=2, base_fee_wei=10**9,
                fee_cap_wei=None,
            )
        ],
        keys=[
            KeyStatus(
                network="local", purpose="treasury", address=ADDRESS, held_by="wor-machine:4711", epoch=3, next_nonce=17,
                in_flight=2, native_wei=10**18, paused=None, resumes_by_itself=False,
            )
        ],
        treasuries=[
            TreasuryStatus(
                asset="LTZ", decimals=18, network="local", address=ADDRESS, balance=5 * 10**24, reserved=10**18,
                free=5 * 10**24 - 10**18, low=False, paid_a_day=10**24, payouts_a_day=9, lasts_days=5.0, paused=None, resumes_by_itself=False,
            )
        ],
        short_programs=[],
        short_programs_count=0,
        alerts=[],
        alerts_count=0,
        unreachable=[],
        next_steps=[],
    )  # fmt: skip


def much_is_wrong() -> Status:
    wrong = all_is_well()
    wrong.processes = [process("web", ready="unreachable"), process("worker", seen_seconds=40)]
    wrong.reports = ReportsView(seconds=60, booked=0, repeated=3, refused={"INSUFFICIENT_BALANCE": 12})
    wrong.states = [
        StateView(what="deliveries", state=state, count=1200, oldest_seconds=4000, moved_by="payouts.reserve")
        for state in ("approved", "unknown", "quarantined")
    ]
    wrong.late_work = {"payouts.reserve": 300.0}
    wrong.keys[0].held_by = None
    wrong.networks[0].seen_seconds = 500
    wrong.keys[0].paused = wrong.treasuries[0].paused = "audit"
    wrong.short_programs = [ShortProgram(brand_id=BRAND, name="Coffee", asset="LTZ", funds=3, funded=1000)]
    wrong.short_programs_count = 4
    wrong.alerts = [
        AlertStatus(
            kind="key.out_of_gas", severity="critical", since=NOW, since_seconds=4000, times=7,
            message=f"{ADDRESS} on local lacks 1 wei", remedy=f"`guerdon treasury fund {ADDRESS} --wei 1`.",
        )
    ]  # fmt: skip
    wrong.alerts_count = 11
    wrong.next_steps = next_steps(wrong)
    wrong.unreachable = ["the web process does not answer"]
    return wrong


def drawn(status: Status, width: int, **options: str) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(view(status, width=width, **options))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_all_is_well_in_every_width(width: int) -> None:
    text = drawn(all_is_well(), width)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    words = "".join(text.split())
    for shown in ("alliswell", "Nothingtodo.", "1,234", "600", "10.0", "2behind", "4,999,999", "5.0days", "LTZ"):
        assert shown in words, (shown, text)


@pytest.mark.parametrize("width", [80, 120])
def test_what_is_wrong_is_told_in_words_and_with_its_remedy(width: int) -> None:
    text = drawn(much_is_wrong(), width)
    words = " ".join(text.split())
    joined = "".join(text.split())
    assert "11 open alerts, 1 critical" in words
    assert "and 10 more: guerdon alert list" in words
    assert f"guerdontreasuryfund{ADDRESS}--wei1" in joined
    for shown in ("silent 40 s", "unreachable", "INSUFFICIENT_BALANCE", "quarantined", "paused", "67 min", "1,200"):
        assert shown in words, (shown, text)
    assert f"guerdonprogramfund{BRAND}" in joined
    assert "3moreprogramsareshortoffunds" in joined


def test_what_to_do_names_commands_that_there_are() -> None:
    wrong = much_is_wrong()
    wrong.processes = [process("worker"), process("web", seen_seconds=40)]
    commands = [words for step in next_steps(wrong) for words in commands_in(step)]
    assert len(commands) > 6
    for words in commands:
        accept(words)


def test_a_database_that_is_away_is_told_above_what_was_last_seen() -> None:
    text = drawn(all_is_well(), 80, warning="The database does not answer", footer="every 2 s")
    assert text.index("does not answer") < text.index("Processes")
    assert text.rstrip().endswith("every 2 s")


def test_what_to_do_next_begins_with_what_does_not_run() -> None:
    status = all_is_well()
    assert next_steps(status) == []
    status.processes = []
    assert "guerdon up" in next_steps(status)[0]
    status.processes = [process("web")]
    assert next_steps(status) == ["No worker runs, so nobody is paid: start one with `guerdon worker`."]
    status.processes = [process("worker")]
    status.keys[0].held_by = None
    status.networks[0].head_age_seconds = 500
    assert [step.split(":")[0] for step in next_steps(status)] == [
        "No web process runs, so nothing can be reported",
        "No worker holds the keys of local",
        "local makes no blocks, or its node lags",
    ]


@pytest.mark.parametrize(
    ("atomic", "decimals", "shown"),
    [
        (0, 18, "0"), (1, 18, "<0.0001"), (10**18, 18, "1"), (15 * 10**17, 18, "1.5"), (12345, 4, "1.2345"), (1234567, 0, "1,234,567"),
        (1_999_999, 6, "1.9999"),
    ],
)  # fmt: skip
def test_an_amount_is_cut_off_and_never_rounded_up(atomic: int, decimals: int, shown: str) -> None:
    assert amount(atomic, decimals) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "120 min"), (7_200, "2 h"), (172_800, "2 d")]
)
def test_an_age_is_in_the_unit_that_a_person_would_say(seconds: float, shown: str) -> None:
    assert age(seconds) == shown
