"""Does a rule make sense? Merges what was said with what is there and refuses what contradicts itself. Pure.

What a rule earns is decided in `decision.py`; its wire form is in `schemas.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from guerdon.earning.defaults import DEFAULT_COOLDOWN_HOURS, DOCUMENTED_EVENT_TYPES
from guerdon.earning.errors import InvalidRuleError
from guerdon.earning.models import Rule
from guerdon.earning.schemas import Category, PerUnit, RuleFields
from guerdon.earning.terms import UNLIMITED

_CAPS = ("daily_cap_account", "daily_cap_ip", "daily_cap_program")
_CUSTOM_PREFIX = "custom_"
_COPIED = (
    "name",
    "description",
    "max_claims_per_user",
    "max_claims_total",
    "cooldown_hours",
    "enabled",
    "open_to_browsers",
    "requires_email",
    "channels",
    *_CAPS,
)


def custom_event_type(now: datetime) -> str:
    """A new id of the form that clients know: `custom_<random>_<unix milliseconds>`."""
    return f"{_CUSTOM_PREFIX}{secrets.token_hex(5)}_{int(now.timestamp() * 1000)}"


def new_columns(event_type: str, fields: RuleFields) -> dict[str, Any]:
    """The columns of a new rule: what was said, and a default for the rest. `InvalidRuleError` if it contradicts itself."""
    if fields.reward is None:
        raise InvalidRuleError(
            "A new rule needs a reward: points an event, or a rate.", details=[_problem("reward", "is missing")]
        )
    spoken = event_type.replace("_", " ").strip() or event_type
    columns: dict[str, Any] = {
        "name": spoken.capitalize() if len(spoken) >= 3 else f"Event {event_type}",  # noqa: PLR2004 - the least length of a name
        "description": f"Rewards the event {event_type}.",
        "category": Category.CUSTOM.value,
        "unit_field": None,
        "unit_size": None,
        "unit_min": None,
        "unit_max": None,
        "max_claims_per_user": UNLIMITED,
        "max_claims_total": UNLIMITED,
        # A rate is for purchases and the like, which may come twice a day.
        "cooldown_hours": 0 if isinstance(fields.reward, PerUnit) else DEFAULT_COOLDOWN_HOURS,
        "enabled": True,
        "open_to_browsers": False,
        "requires_email": False,
        "channels": [],
        "detection": [],
        "daily_cap_account": None,
        "daily_cap_ip": None,
        "daily_cap_program": None,
        "is_custom": event_type not in DOCUMENTED_EVENT_TYPES,
    }
    return changed_columns(columns, fields)


def columns_of(rule: Rule) -> dict[str, Any]:
    """The columns of a rule that a change may keep."""
    names = (*_COPIED, "category", "reward", "unit_field", "unit_size", "unit_min", "unit_max", "detection", "is_custom")
    return {name: getattr(rule, name) for name in names}


def changed_columns(columns: Mapping[str, Any], fields: RuleFields) -> dict[str, Any]:
    """`columns` with what was said put in; a cap said to be null is taken away. `InvalidRuleError` as above."""
    changed = dict(columns)
    for name in _COPIED:
        if name in fields.model_fields_set and (getattr(fields, name) is not None or name in _CAPS):
            changed[name] = getattr(fields, name)
    if fields.category is not None:
        changed["category"] = fields.category.value
    if fields.detection is not None:
        changed["detection"] = [{"method": way.method.value, "config": way.config} for way in fields.detection]
    match fields.reward:
        case None:
            pass
        case PerUnit() as rate:
            changed |= {
                "reward": rate.reward,
                "unit_field": rate.field,
                "unit_size": rate.unit,
                "unit_min": rate.min,
                "unit_max": rate.max,
            }
        case int() as points:
            changed |= {"reward": points, "unit_field": None, "unit_size": None, "unit_min": None, "unit_max": None}
    problems = [*_contradictions(changed)]
    if problems:
        raise InvalidRuleError(" ".join(f"{p['field']} {p['message']}." for p in problems), details=problems)
    return changed


def _contradictions(columns: Mapping[str, Any]) -> list[dict[str, str]]:
    problems: list[dict[str, str]] = []
    if columns["unit_field"] is not None and columns["open_to_browsers"]:
        # SAFETY S8; the database refuses it as well.
        message = "must be false where the reward is a rate: an amount that a browser sends counts for nothing"
        problems.append(_problem("openToBrowsers", message))
    if columns["unit_field"] is None:
        for name in _CAPS:
            cap = columns[name]
            if cap is not None and cap < columns["reward"]:
                message = f"({cap}) is below the reward ({columns['reward']}): nothing could ever be earned"
                problems.append(_problem(_camel(name), message))
    return problems


def _problem(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
