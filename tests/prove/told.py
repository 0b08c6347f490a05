"""What clients sent and what they were told: the other half of the evidence that the judge goes by."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An event that a client was told is booked. `name` is what the client put into the event's metadata as `n`."""

    name: str
    event_id: str
    reward: int
    transaction: str | None = None


@dataclass(frozen=True, slots=True)
class Reversed:
    """A reversal that a client was told is booked; `key` is what it asked under. Points."""

    key: str
    reversal_id: str
    event_id: str
    points: int
    from_pending: int
    from_balance: int
    as_debt: int
    not_recovered: int


@dataclass
class Told:
    """Of one client, or of several."""

    sent: set[str] = field(default_factory=set)
    """Names of all events that were ever sent, answered or not: nothing else may be in the books."""
    acknowledged: list[Acknowledged] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Names of events that were refused for good, with the reason."""
    reversed: list[Reversed] = field(default_factory=list)
    odd_answers: list[str] = field(default_factory=list)
    """Answers that no fault excuses: an event that can be booked is booked, or the client is told to try again."""
    from_outside: set[str] = field(default_factory=set)
    """Hashes of transactions that somebody else sent with our keys, and that the database need not know."""
    minted_and_lost: int = 0
    """Tokens of fundings that a database restored from an older dump does not know."""

    @classmethod
    def of(cls, *several: Told) -> Told:
        """Everything that several clients were told."""
        return cls(
            sent=set[str]().union(*(one.sent for one in several)),
            acknowledged=[told for one in several for told in one.acknowledged],
            refused={name: reason for one in several for name, reason in one.refused.items()},
            reversed=[told for one in several for told in one.reversed],
            odd_answers=[answer for one in several for answer in one.odd_answers],
            from_outside=set[str]().union(*(one.from_outside for one in several)),
            minted_and_lost=sum(one.minted_and_lost for one in several),
        )
