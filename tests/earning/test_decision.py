"""What one report earns: a table of examples beside the pure function, and what holds for any sequence of reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guerdon.earning.caps import cap_keys
from guerdon.earning.decision import POINTS_MAX, Claims, Earned, Refused, State, decide, record
from guerdon.earning.terms import ProgramTerms, Report, RuleTerms, Trust

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ASSET = UUID(int=1)
ANN, BOB = UUID(int=11), UUID(int=12)
RULE = RuleTerms(event_type="form_submit", asset_id=ASSET, delivery="automatic", reward=10, open_to_browsers=True)
PER_DOLLAR = replace(RULE, event_type="place_order", reward=1, unit_field="amount_cents", unit_size=100, open_to_browsers=False)
PROGRAM = ProgramTerms()
REPORT = Report(account_id=ANN, event_type="form_submit", trust=Trust.SERVER)


def rich(**changes: Any) -> State:
    return State(funds={ASSET: 10**6}, **changes)


def earned(report: Report, rule: RuleTerms = RULE, program: ProgramTerms = PROGRAM, state: State | None = None) -> int:
    outcome = decide(report, rule, program, state or rich(), NOW)
    assert isinstance(outcome, Earned), outcome
    return outcome.points


def refusal(
    report: Report, rule: RuleTerms | None = RULE, program: ProgramTerms = PROGRAM, state: State | None = None
) -> Refused:
    outcome = decide(report, rule, program, state or rich(), NOW)
    assert isinstance(outcome, Refused), outcome
    return outcome


def order(cents: object) -> Report:
    return msgspec.structs.replace(REPORT, event_type="place_order", metadata={"amount_cents": cents})


def test_a_fixed_reward_is_earned_with_its_reason() -> None:
    outcome = decide(REPORT, RULE, PROGRAM, rich(), NOW)
    assert outcome == Earned(10, 0, ({"rule": "form_submit", "version": 1, "points": 10},), ())


@pytest.mark.parametrize(("cents", "points"), [(0, 0), (99, 0), (100, 1), (199, 1), (1999, 19), (10**15, 10**13)])
def test_a_reward_a_unit_is_rounded_down(cents: int, points: int) -> None:
    assert earned(order(cents), PER_DOLLAR, state=State(funds={ASSET: 10**18})) == points


def test_a_rate_is_a_fraction_of_two_integers() -> None:
    assert earned(order(150), replace(PER_DOLLAR, reward=5)) == 7


@pytest.mark.parametrize(("cents", "points"), [(499, 0), (500, 5), (2000, 20), (2001, 20), (10**9, 20)])
def test_below_the_minimum_nothing_is_earned_and_above_the_maximum_no_more(cents: int, points: int) -> None:
    assert earned(order(cents), replace(PER_DOLLAR, unit_min=500, unit_max=2000)) == points


@pytest.mark.parametrize("cents", [None, "100", 1.0, True, -1, [], float("nan")])
def test_an_amount_that_is_no_integer_is_refused_with_the_field_named(cents: object) -> None:
    assert refusal(order(cents), PER_DOLLAR).details == {"field": "metadata.amount_cents"}


def test_an_amount_beyond_what_the_books_can_hold_is_refused() -> None:
    state = State(funds={ASSET: POINTS_MAX})
    assert refusal(order(POINTS_MAX * 100 + 100), PER_DOLLAR, state=state).code == "INVALID_METADATA"


@pytest.mark.parametrize("trust", [Trust.BROWSER, Trust.MEMBER])
def test_s8_what_anyone_can_send_earns_only_under_rules_open_to_browsers(trust: Trust) -> None:
    closed = replace(RULE, open_to_browsers=False)
    assert refusal(msgspec.structs.replace(REPORT, trust=trust), closed).code == "NOT_OPEN_TO_BROWSERS"
    assert earned(msgspec.structs.replace(REPORT, trust=trust), RULE) == 10
    assert earned(REPORT, closed) == 10


@pytest.mark.parametrize(
    ("rule", "program", "code", "status"),
    [
        (RULE, replace(PROGRAM, automation_enabled=False), "AUTOMATION_DISABLED", 403),
        (None, PROGRAM, "EVENT_TYPE_NOT_CONFIGURED", 400),
        (replace(RULE, enabled=False), PROGRAM, "EVENT_DISABLED", 403),
        (replace(RULE, channels=frozenset({"#support"})), PROGRAM, "CHANNEL_REQUIRED", 403),
        (replace(RULE, reward=10**6 + 1), PROGRAM, "INSUFFICIENT_BALANCE", 400),
    ],
)
def test_refusals_have_a_stable_code(rule: RuleTerms | None, program: ProgramTerms, code: str, status: int) -> None:
    outcome = refusal(REPORT, rule, program)
    assert (outcome.code, outcome.status) == (code, status)


@pytest.mark.parametrize(("channel", "allowed"), [("#support", True), ("support", True), ("Support", True), ("general", False)])
def test_a_channel_is_known_with_and_without_its_hash(channel: str, allowed: bool) -> None:
    rule = replace(RULE, channels=frozenset({"#support"}))
    outcome = decide(msgspec.structs.replace(REPORT, channel=channel), rule, PROGRAM, rich(), NOW)
    assert isinstance(outcome, Earned) is allowed


def test_a_rule_that_needs_an_email_refuses_a_report_without_one() -> None:
    assert refusal(msgspec.structs.replace(REPORT, has_email=False), replace(RULE, requires_email=True)).code == "EMAIL_REQUIRED"


@pytest.mark.parametrize(
    ("seconds", "keyed", "duplicate"), [(0, False, True), (59, False, True), (60, False, False), (1, True, False)]
)
def test_a_repeat_within_a_minute_without_a_key_is_a_duplicate(seconds: int, keyed: bool, duplicate: bool) -> None:
    state = rich(claims={(ANN, "form_submit"): Claims(1, NOW - timedelta(seconds=seconds))})
    outcome = decide(msgspec.structs.replace(REPORT, keyed=keyed), RULE, PROGRAM, state, NOW)
    assert (isinstance(outcome, Refused) and outcome.code == "DUPLICATE_EVENT") is duplicate


def test_a_cooldown_says_when_it_ends() -> None:
    state = rich(claims={(ANN, "form_submit"): Claims(1, NOW - timedelta(hours=23, minutes=59))})
    outcome = refusal(msgspec.structs.replace(REPORT, keyed=True), replace(RULE, cooldown_hours=24), state=state)
    assert (outcome.status, outcome.code, outcome.retry_after_s) == (429, "COOLDOWN_ACTIVE", 60)
    assert earned(msgspec.structs.replace(REPORT, keyed=True), replace(RULE, cooldown_hours=23), state=state) == 10


def test_a_user_claims_as_often_as_the_rule_allows() -> None:
    rule = replace(RULE, max_claims_per_user=2)
    long_ago = NOW - timedelta(days=400)
    assert earned(REPORT, rule, state=rich(claims={(ANN, "form_submit"): Claims(1, long_ago)})) == 10
    assert refusal(REPORT, rule, state=rich(claims={(ANN, "form_submit"): Claims(2, long_ago)})).code == "CLAIM_LIMIT_REACHED"
    assert (
        earned(
            msgspec.structs.replace(REPORT, account_id=BOB), rule, state=rich(claims={(ANN, "form_submit"): Claims(2, long_ago)})
        )
        == 10
    )


@pytest.mark.parametrize("field", ["daily_cap_account", "daily_cap_ip", "daily_cap_program"])
def test_a_daily_cap_of_a_rule_is_reached_and_starts_anew_at_midnight(field: str) -> None:
    rule = replace(RULE, **{field: 25})
    report = msgspec.structs.replace(REPORT, trust=Trust.BROWSER, client_address="203.0.113.9", keyed=True)
    state = rich()
    for _ in range(2):
        outcome = decide(report, rule, PROGRAM, state, NOW)
        assert isinstance(outcome, Earned)
        record(state, report, rule, outcome, NOW)
    refused = refusal(report, rule, state=state)
    assert (refused.code, refused.retry_after_s) == ("DAILY_CAP_REACHED", 12 * 3600)
    assert isinstance(decide(report, rule, PROGRAM, state, NOW + timedelta(hours=12)), Earned)


@pytest.mark.parametrize("field", ["browser_cap_account", "browser_cap_ip", "browser_cap_program"])
def test_s8_a_programs_caps_for_browsers_count_over_all_its_rules_and_not_for_servers(field: str) -> None:
    program = replace(PROGRAM, **{field: 15})
    browser = msgspec.structs.replace(REPORT, trust=Trust.BROWSER, client_address="203.0.113.9", keyed=True)
    other = replace(RULE, event_type="newsletter_subscribe")
    state = rich()
    first = decide(browser, RULE, program, state, NOW)
    assert isinstance(first, Earned)
    record(state, browser, RULE, first, NOW)
    assert refusal(browser, other, program, state).code == "DAILY_CAP_REACHED"
    assert earned(msgspec.structs.replace(REPORT, keyed=True), other, program, state) == 10


def test_a_refusal_by_a_cap_does_not_tell_whose_address_or_account_it_is() -> None:
    report = msgspec.structs.replace(REPORT, trust=Trust.BROWSER, client_address="203.0.113.9")
    refused = refusal(report, replace(RULE, daily_cap_ip=5, daily_cap_account=5))
    assert "203.0.113.9" not in repr(refused)
    assert str(ANN) not in repr(refused)


def test_s13_an_open_debt_is_repaid_first() -> None:
    state = rich(debts={(ANN, ASSET): 14})
    for repaid, left in ((10, 4), (4, 0), (0, 0)):
        outcome = decide(msgspec.structs.replace(REPORT, keyed=True), RULE, PROGRAM, state, NOW)
        assert isinstance(outcome, Earned)
        assert (outcome.points, outcome.repaid) == (10, repaid)
        record(state, REPORT, RULE, outcome, NOW)
        assert state.debts[ANN, ASSET] == left


RULES = {
    "form_submit": replace(RULE, cooldown_hours=1, daily_cap_account=25, daily_cap_ip=35),
    "place_order": replace(PER_DOLLAR, max_claims_total=7, daily_cap_program=60),
    "account_creation": replace(RULE, event_type="account_creation", reward=30, max_claims_per_user=1),
    "ping": replace(RULE, event_type="ping", reward=0),
}
CAPPED = ProgramTerms(browser_cap_program=90, browser_cap_account=40, browser_cap_ip=50)
reports = st.builds(
    Report,
    account_id=st.sampled_from([ANN, BOB, UUID(int=13)]),
    event_type=st.sampled_from([*RULES, "unknown"]),
    trust=st.sampled_from(Trust),
    keyed=st.booleans(),
    client_address=st.sampled_from([None, "203.0.113.9", "2001:db8::/64"]),
    metadata=st.one_of(st.none(), st.fixed_dictionaries({"amount_cents": st.integers(-1, 4000)})),
)
arrivals = st.lists(st.tuples(reports, st.integers(0, 5000)), max_size=60)


def run(sequence: Sequence[tuple[Report, int]], state: State) -> list[tuple[Report, Earned | Refused, datetime]]:
    outcomes: list[tuple[Report, Earned | Refused, datetime]] = []
    now = NOW - timedelta(hours=12)
    for report, seconds in sequence:
        now += timedelta(seconds=seconds)
        rule = RULES.get(report.event_type)
        outcome = decide(report, rule, CAPPED, state, now)
        if isinstance(outcome, Earned) and rule is not None:
            record(state, report, rule, outcome, now)
        outcomes.append((report, outcome, now))
    return outcomes


@settings(max_examples=300, deadline=None)
@given(arrivals, st.integers(0, 300))
def test_property_no_sequence_of_reports_passes_a_limit_or_the_funds(sequence: list[tuple[Report, int]], funds: int) -> None:
    state = State(funds={ASSET: funds})
    outcomes = run(sequence, state)
    given_out = [(report, outcome, now) for report, outcome, now in outcomes if isinstance(outcome, Earned)]
    assert sum(outcome.points for _, outcome, _ in given_out) == funds - state.funds[ASSET]
    assert state.funds[ASSET] >= 0
    assert sum(report.event_type == "place_order" for report, _, _ in given_out) <= 7
    for account in (ANN, BOB, UUID(int=13)):
        own = [(report, outcome, now) for report, outcome, now in given_out if report.account_id == account]
        assert sum(report.event_type == "account_creation" for report, _, _ in own) <= 1
        forms = [now for report, _, now in own if report.event_type == "form_submit"]
        assert all(later - earlier >= timedelta(hours=1) for earlier, later in pairwise(forms))
        for day in {now.date() for _, _, now in own}:
            browsers = [outcome.points for report, outcome, now in own if report.trust.is_public and now.date() == day]
            assert sum(browsers) <= 40
    assert all(not (report.trust.is_public and report.event_type == "place_order") for report, _, _ in given_out)


@settings(max_examples=200, deadline=None)
@given(arrivals, st.integers(0, 300))
def test_property_a_refusal_leaves_no_trace(sequence: list[tuple[Report, int]], funds: int) -> None:
    all_of_them = State(funds={ASSET: funds})
    outcomes = run(sequence, all_of_them)
    only_accepted = State(funds={ASSET: funds})
    for report, outcome, now in outcomes:
        if isinstance(outcome, Earned):
            rule = RULES[report.event_type]
            again = decide(report, rule, CAPPED, only_accepted, now)
            assert again == outcome
            record(only_accepted, report, rule, outcome, now)
    assert only_accepted == all_of_them


@settings(max_examples=200, deadline=None)
@given(reports, st.integers(0, 100_000))
def test_property_every_counter_a_decision_draws_on_was_named_beforehand(report: Report, seconds: int) -> None:
    now = NOW + timedelta(seconds=seconds)
    rule = RULES.get(report.event_type)
    outcome = decide(report, rule, CAPPED, rich(), now)
    if isinstance(outcome, Earned) and rule is not None:
        assert {cap.key for cap in outcome.caps} <= set(cap_keys(report, rule, CAPPED, now))
