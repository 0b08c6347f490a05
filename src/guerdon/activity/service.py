"""Use cases of look-ups: what a program rewards, and whether a report would earn it. Balances are `balances.py`, events as
operators read them `history.py`. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from guerdon.activity import keys, repository, repository_intake
from guerdon.activity.authentication import Caller
from guerdon.activity.errors import ReplayedSignatureError
from guerdon.activity.planning import caps_to_load, meet_newcomers
from guerdon.activity.reception import submission_of
from guerdon.activity.schemas import ReportBody
from guerdon.activity.schemas_lookups import Eligibility, EventConfig
from guerdon.earning import repository as rules
from guerdon.earning.decision import Refused, decide
from guerdon.earning.models import Rule
from guerdon.earning.terms import UNLIMITED, Report
from guerdon.kit.database import ProgramSession, raw_connection
from guerdon.kit.ids import uuid7
from guerdon.programs.errors import ProgramNotFoundError

NOWHERE = UUID(int=0)
"""The asset of a report that no rule fits."""


async def event_configs(session: ProgramSession, program_id: UUID) -> list[EventConfig]:
    """What the program's event types earn, those that are switched on."""
    return [_config(rule) for rule in await rules.rules_of(session, program_id) if rule.enabled]


def _config(rule: Rule) -> EventConfig:
    ways: list[dict[str, Any]] = rule.detection
    first = ways[0] if ways else {}
    return EventConfig(
        event_id=rule.event_type,
        event_type=rule.event_type,
        name=rule.name,
        description=rule.description,
        category=rule.category,
        reward_amount=rule.reward,
        max_claims=rule.max_claims_per_user,
        cooldown_hours=rule.cooldown_hours,
        detection_method=first.get("method"),
        detection_config={"urlPatterns": [], "successSelectors": [], **first.get("config", {})},
        detection_methods=ways,
        requires_email=rule.requires_email,
        open_to_browsers=rule.open_to_browsers,
        is_custom=rule.is_custom,
    )


async def eligibility(
    session: ProgramSession, caller: Caller, body: ReportBody, booking_time: Callable[[datetime], datetime]
) -> Eligibility:
    """What would be answered to this report now. The same load and the same decision; nothing is written.

    What it says is true at that moment: another report may come first.
    """
    submission = submission_of(caller, body, keys.CHECK_ELIGIBILITY, None)
    if submission.signature is not None:
        await spend_signature(session, submission.signature, submission.body_hash, keys.CHECK_ELIGIBILITY)
    terms = caller.program.terms
    rule = terms.rules.get(body.event_type)
    connection = await raw_connection(session)
    asked = (submission.identity, body.event_type, NOWHERE if rule is None else rule.asset_id)
    loaded = await repository_intake.load(connection, session.program_id, [asked], [])
    if loaded is None:
        raise ProgramNotFoundError
    loaded.now = booking_time(loaded.now)
    meet_newcomers([submission], loaded, [uuid7()])
    await repository_intake.load_caps(connection, session.program_id, caps_to_load(terms, [submission], loaded), loaded.state)
    account_id = loaded.people[submission.identity].account_id
    metadata = body.metadata
    if rule is not None and rule.unit_field is not None and (metadata is None or rule.unit_field not in metadata):
        # Nobody can say yet how much: whether it would earn at all can be said.
        metadata = {**(metadata or {}), rule.unit_field: 0}
    report = Report(
        account_id=account_id,
        event_type=body.event_type,
        trust=caller.trust,
        has_email=submission.identity.startswith("email:"),
        channel=body.channel,
        client_address=caller.client_address,
        metadata=metadata,
    )
    decision = decide(report, rule, terms.program, loaded.state, loaded.now)
    claims = loaded.state.claims.get((account_id, body.event_type))
    facts: dict[str, Any] = {
        "claim_count": 0 if claims is None else claims.count,
        "max_claims": UNLIMITED if rule is None else rule.max_claims_per_user,
    }
    if isinstance(decision, Refused):
        ends_at = (decision.details or {}).get("cooldownEndsAt")
        reward = 0 if rule is None else rule.reward
        return Eligibility(
            eligible=False, reason=decision.message, code=decision.code, cooldown_ends_at=ends_at, reward_amount=reward, **facts
        )
    return Eligibility(eligible=True, reward_amount=decision.points, **facts)


async def spend_signature(session: ProgramSession, signature: bytes, asked: bytes, operation: str) -> None:
    """Keep the signature of a question for this question, whose hash is `asked` (SAFETY S11). Raises `ReplayedSignatureError`.

    Its body could be a report, and that of a question in an address is empty: signed is then neither whom nor what it asks.
    """
    used_for = await repository.remember_signature(session, session.program_id, signature, asked, operation)
    if used_for != (operation, asked):
        raise ReplayedSignatureError
