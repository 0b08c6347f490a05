"""Use cases of rules: what an operator does with them. Nothing here commits.

What a report earns under them is `decision.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from guerdon.earning import repository
from guerdon.earning.defaults import DEFAULT_COOLDOWN_HOURS, DEFAULT_RULES
from guerdon.earning.errors import RuleExistsError, RuleNotFoundError
from guerdon.earning.models import Rule
from guerdon.earning.rules import changed_columns, columns_of, custom_event_type, new_columns
from guerdon.earning.schemas import Category, Detection, NewRule, PerUnit, RuleFields, RuleView
from guerdon.kit.database import ProgramSession, ScopedSession
from guerdon.programs import repository as programs
from guerdon.programs.errors import ProgramNotFoundError
from guerdon.programs.service import asset_of, configuration_changed


async def add_rule(session: ProgramSession, new: NewRule, now: datetime) -> RuleView:
    """Make a rule for an event type that has none. Raises `RuleExistsError`, `InvalidRuleError`, `AssetNotFoundError`."""
    event_type = new.event_type or custom_event_type(now)
    columns = new_columns(event_type, new)
    await configuration_changed(session, session.program_id)
    row = {
        **columns,
        "program_id": session.program_id,
        "event_type": event_type,
        "asset_id": await _asset_id(session, new.asset),
        "created_at": now,
        "updated_at": now,
    }
    rule = await repository.insert_rule(session, row)
    if rule is None:
        raise RuleExistsError
    return await view(session, rule)


async def put_rule(session: ProgramSession, event_type: str, fields: RuleFields, now: datetime) -> RuleView:
    """Make the rule, or replace it whole: what is not said takes its default."""
    columns = new_columns(event_type, fields)
    await configuration_changed(session, session.program_id)
    if await repository.rule(session, session.program_id, event_type) is None:
        return await add_rule(session, NewRule(event_type=event_type, **_said(fields)), now)
    values = {**columns, "asset_id": await _asset_id(session, fields.asset), "updated_at": now}
    return await _updated(session, event_type, values)


async def change_rule(session: ProgramSession, event_type: str, fields: RuleFields, now: datetime) -> RuleView:
    """Change what was said of a rule and keep the rest. Raises `RuleNotFoundError` besides the above."""
    await configuration_changed(session, session.program_id)
    rule = await repository.rule(session, session.program_id, event_type)
    if rule is None:
        raise RuleNotFoundError
    values = {**changed_columns(columns_of(rule), fields), "updated_at": now}
    if fields.asset is not None:
        values["asset_id"] = await _asset_id(session, fields.asset)
    return await _updated(session, event_type, values)


async def set_rule(session: ProgramSession, event_type: str, fields: RuleFields, now: datetime) -> RuleView:
    """Change the rule if there is one, else make it: what the command line does."""
    if await repository.rule(session, session.program_id, event_type) is None:
        return await add_rule(session, NewRule(event_type=event_type, **_said(fields)), now)
    return await change_rule(session, event_type, fields, now)


async def switch_rule(session: ProgramSession, event_type: str, now: datetime, *, enabled: bool) -> RuleView:
    """Turn a rule on or off."""
    return await change_rule(session, event_type, RuleFields(enabled=enabled), now)


async def delete_rule(session: ProgramSession, event_type: str) -> None:
    """Remove a rule. What it earned stays booked, and its counters stand should it come back."""
    await configuration_changed(session, session.program_id)
    if not await repository.delete_rule(session, session.program_id, event_type):
        raise RuleNotFoundError


async def rule_of(session: ProgramSession, event_type: str) -> RuleView:
    """The rule of an event type."""
    rule = await repository.rule(session, session.program_id, event_type)
    if rule is None:
        raise RuleNotFoundError
    return await view(session, rule)


async def rules_page(session: ProgramSession, after: str | None, limit: int) -> list[RuleView]:
    """Rules by event type, one more than `limit` if there are more."""
    rules = await repository.rules_after(session, session.program_id, after, limit + 1)
    return await views(session, rules)


async def add_default_rules(session: ScopedSession, program_id: UUID, asset_id: UUID, now: datetime) -> None:
    """The rules that a new program begins with (DESIGN section 8, the documented event types)."""
    rows = [
        {
            **new_columns(rule.event_type, RuleFields(reward=rule.reward)),
            "program_id": program_id,
            "event_type": rule.event_type,
            "asset_id": asset_id,
            "name": rule.name,
            "description": rule.description,
            "category": Category(rule.category).value,
            "cooldown_hours": DEFAULT_COOLDOWN_HOURS,
            "max_claims_per_user": rule.max_claims_per_user,
            "open_to_browsers": True,
            "daily_cap_ip": rule.daily_cap_ip,
            "created_at": now,
            "updated_at": now,
        }
        for rule in DEFAULT_RULES
    ]
    await repository.insert_rules(session, rows)


async def view(session: ScopedSession, rule: Rule) -> RuleView:
    """A rule as it is shown."""
    return (await views(session, [rule]))[0]


async def views(session: ScopedSession, rules: Sequence[Rule]) -> list[RuleView]:
    """Rules as they are shown, with the symbols of their assets."""
    symbols = await repository.asset_symbols(session)
    return [_view(rule, symbols[rule.asset_id]) for rule in rules]


def _view(rule: Rule, asset: str) -> RuleView:
    return RuleView(
        event_type=rule.event_type,
        name=rule.name,
        description=rule.description,
        category=rule.category,
        reward=_reward(rule),
        asset=asset,
        max_claims_per_user=rule.max_claims_per_user,
        max_claims_total=rule.max_claims_total,
        cooldown_hours=rule.cooldown_hours,
        enabled=rule.enabled,
        open_to_browsers=rule.open_to_browsers,
        requires_email=rule.requires_email,
        channels=rule.channels,
        detection=[Detection.model_validate(way) for way in rule.detection],
        daily_cap_account=rule.daily_cap_account,
        daily_cap_ip=rule.daily_cap_ip,
        daily_cap_program=rule.daily_cap_program,
        is_custom=rule.is_custom,
        version=rule.version,
        created_at=rule.created_at,
        updated_at=rule.updated_at,
    )


def _reward(rule: Rule) -> int | PerUnit:
    if rule.unit_field is None or rule.unit_size is None:
        return rule.reward
    return PerUnit(field=rule.unit_field, unit=rule.unit_size, reward=rule.reward, min=rule.unit_min, max=rule.unit_max)


def _said(fields: RuleFields) -> dict[str, Any]:
    return {name: getattr(fields, name) for name in fields.model_fields_set if name not in {"event_type", "brand_id"}}


async def _asset_id(session: ProgramSession, symbol: str | None) -> UUID:
    if symbol is not None:
        return (await asset_of(session, symbol)).id
    program = await programs.program_by_id(session, session.program_id)
    if program is None:
        raise ProgramNotFoundError
    return program.asset_id


async def _updated(session: ProgramSession, event_type: str, values: Mapping[str, Any]) -> RuleView:
    rule = await repository.update_rule(session, session.program_id, event_type, values)
    if rule is None:
        raise RuleNotFoundError
    return await view(session, rule)
