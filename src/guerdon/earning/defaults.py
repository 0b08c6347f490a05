"""The rules that a new program begins with: the six event types that the SDK reports by itself. Pure.

All are open to browsers, so they carry a cap by address; the caps by account and program are the program's own
(`programs/defaults.py`), since they bound all browsers together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from guerdon.earning.terms import UNLIMITED

DEFAULT_COOLDOWN_HOURS: Final = 24
CLAIMS_PER_ADDRESS_AND_DAY: Final = 20


@dataclass(frozen=True, slots=True)
class DefaultRule:
    """One documented event type."""

    event_type: str
    name: str
    description: str
    category: str
    reward: int
    max_claims_per_user: int = UNLIMITED

    @property
    def daily_cap_ip(self) -> int:
        """Points a day that one address may earn under this rule: a household or an office, not a farm."""
        return self.reward * CLAIMS_PER_ADDRESS_AND_DAY


DEFAULT_RULES: Final = (
    DefaultRule("account_creation", "Account creation", "Rewards a person for creating an account, once.", "Account", 100, 1),
    DefaultRule("complete_survey", "Complete survey", "Rewards a person for completing a survey.", "Feedback", 75),
    DefaultRule(
        "newsletter_subscribe", "Newsletter subscription", "Rewards a person for subscribing to the newsletter.", "Engagement", 25
    ),
    DefaultRule("rate_experience", "Rate experience", "Rewards a person for rating an experience.", "Feedback", 50),
    DefaultRule("subscribe_renewal", "Subscription renewal", "Rewards a person for renewing a subscription.", "Commerce", 200),
    DefaultRule("form_submit", "Form submission", "Rewards a person for submitting a form.", "Engagement", 10),
)

DOCUMENTED_EVENT_TYPES: Final = frozenset(rule.event_type for rule in DEFAULT_RULES)
"""Every other event type is a program's own and shown as `isCustom`."""
