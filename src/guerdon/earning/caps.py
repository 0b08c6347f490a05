"""Limits that are counted in the booking transaction: which ones a report draws on, and how much. Pure.

The counters are `earning.models.CapCounter`; a cap key names one of them and carries its day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from guerdon.earning.terms import ProgramTerms, Report, RuleTerms


@dataclass(frozen=True, slots=True)
class CapUse:
    """`amount` of the counter `key`, which may reach `limit`; `day` is None for a limit that never starts anew."""

    key: str
    name: str
    """For the caller: whose limit it is, without the caller's address or account."""
    limit: int
    amount: int
    day: date | None


def cap_uses(report: Report, rule: RuleTerms, program: ProgramTerms, points: int, now: datetime) -> tuple[CapUse, ...]:
    """The counters that `points` for `report` draw on, in key order. A cap by address counts where the caller has one."""
    if not rule.is_capped and not report.trust.is_public:
        # Most reports of servers draw on none, and this runs several times for each of them.
        return ()
    day = now.date()
    uses: list[CapUse] = []

    def daily(name: str, subject: str, limit: int | None) -> None:
        if limit is not None and points:
            uses.append(CapUse(f"{day.isoformat()}/{subject}/{name}", name, limit, points, day))

    if rule.max_claims_total >= 0:
        uses.append(CapUse(f"total/{rule.event_type}", "claims of the rule in all", rule.max_claims_total, 1, None))
    daily(f"rule {rule.event_type} a day", "program", rule.daily_cap_program)
    daily(f"rule {rule.event_type} a day and account", str(report.account_id), rule.daily_cap_account)
    if report.client_address is not None:
        daily(f"rule {rule.event_type} a day and address", report.client_address, rule.daily_cap_ip)
    if report.trust.is_public:
        daily("browsers a day", "program", program.browser_cap_program)
        daily("browsers a day and account", str(report.account_id), program.browser_cap_account)
        if report.client_address is not None:
            daily("browsers a day and address", report.client_address, program.browser_cap_ip)
    return tuple(sorted(uses, key=lambda use: use.key))


def cap_keys(report: Report, rule: RuleTerms, program: ProgramTerms, now: datetime) -> tuple[str, ...]:
    """The keys of every counter that a report could draw on: what has to be loaded before it is decided."""
    return tuple(use.key for use in cap_uses(report, rule, program, 1, now))
