"""Every alert says what happened, how bad it is and what to do; the commands that it names are commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guerdon.kit.outbox import Severity
from tests.support.alert_calls import PLACEHOLDER, AlertCall, alert_calls, remedies_elsewhere
from tests.support.commands import accept, commands_in

CALLS = alert_calls()
OPERATORS = Path(__file__).parents[2] / "docs" / "operators.md"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.kind} {call.place}")
def test_an_alert_tells_what_is_wrong_how_bad_and_what_to_do(call: AlertCall) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", call.kind)
    assert call.severity in set(Severity)
    assert call.message.strip(PLACEHOLDER + " ") or call.kind == "key.out_of_gas"
    if call.kind != "treasury.cannot_pay":  # it passes on what was found out, see below
        assert len(call.remedy) > 20
        assert call.remedy.endswith("."), call.remedy
        assert "`guerdon " in call.remedy


@pytest.mark.parametrize("remedy", [*(call.remedy for call in CALLS), *remedies_elsewhere()])
def test_the_commands_of_a_remedy_are_accepted(remedy: str) -> None:
    for words in commands_in(remedy):
        accept(words)


def test_what_stops_a_treasury_comes_with_a_remedy() -> None:
    assert len(remedies_elsewhere()) == 4
    for remedy in remedies_elsewhere():
        assert commands_in(remedy), remedy


def test_a_command_that_there_is_not_would_be_noticed() -> None:
    with pytest.raises(AssertionError):
        accept(["guerdon", "payout", "repair", PLACEHOLDER])
    with pytest.raises(Exception, match="requires an argument"):
        accept(["guerdon", "network", "add", PLACEHOLDER, "--max-fee-per-gas"])


def test_no_command_is_named_outside_of_backticks() -> None:
    for call in CALLS:
        assert "guerdon " not in re.sub(r"`[^`]*`", "", call.remedy), call.place


def test_every_kind_of_alert_is_in_the_guide_for_operators() -> None:
    named = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)`", OPERATORS.read_text(encoding="utf-8"), re.MULTILINE))
    assert named == {call.kind for call in CALLS}
