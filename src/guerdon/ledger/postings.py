"""What each kind of posting moves: from which bucket to which, and what that does to the balances. Pure.

A posting is one row with both ends, so it is balanced by construction. In formulas, per asset:
    account  available = earned - reversed - claimed - spent - expired - held + moved        (SAFETY S13)
    program  funded    = funds + owed + debt + delivered + burned + expired + adjusted       (every point is somewhere)
    program  owed      = sum over its accounts of available + held;   debt = sum of debt
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from uuid import UUID

from guerdon.ledger.models import Bucket, PostingKind

AccountColumn = str
ProgramColumn = str


@dataclass(frozen=True, slots=True)
class Movement:
    """`amount` points (> 0) of one asset to be moved, once: (`kind`, `ref`) is the permanent idempotency key."""

    kind: PostingKind
    ref: UUID
    asset_id: UUID
    amount: int
    account_id: UUID | None = None


@dataclass(slots=True)
class Balance:
    """One account's points of one asset, as movements change them one by one; `version` counts its postings."""

    asset_id: UUID
    account_id: UUID
    earned: int
    reversed: int
    claimed: int
    spent: int
    expired: int
    moved: int
    held: int
    debt: int
    version: int

    @property
    def available(self) -> int:
        """As the database computes it (SAFETY S13)."""
        return self.earned - self.reversed - self.claimed - self.spent - self.expired - self.held + self.moved

    def short(self) -> list[str]:
        """What has fallen below zero."""
        return [name for name in ("available", "held", "debt") if getattr(self, name) < 0]


COLUMNS_OF_BALANCE = tuple(field.name for field in fields(Balance))


@dataclass(frozen=True, slots=True)
class NewPosting:
    """A movement with what it leaves on its account: the running balance is part of the books."""

    movement: Movement
    version: int | None = None
    available_after: int | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """The two ends of a kind of posting, and by what sign each balance column changes."""

    from_bucket: Bucket
    to_bucket: Bucket
    account: tuple[tuple[AccountColumn, int], ...]
    program: tuple[tuple[ProgramColumn, int], ...]

    @property
    def on_account(self) -> bool:
        """Whether it touches an account."""
        return bool(self.account)


def _effect(
    from_bucket: Bucket,
    to_bucket: Bucket,
    account: dict[AccountColumn, int] | None = None,
    program: dict[ProgramColumn, int] | None = None,
) -> Effect:
    return Effect(from_bucket, to_bucket, tuple((account or {}).items()), tuple((program or {}).items()))


EFFECTS: dict[PostingKind, Effect] = {
    PostingKind.FUND: _effect(Bucket.OUTSIDE, Bucket.FUNDS, program={"funded": 1, "funds": 1}),
    PostingKind.DEFUND: _effect(Bucket.FUNDS, Bucket.OUTSIDE, program={"funded": -1, "funds": -1}),
    PostingKind.REWARD: _effect(Bucket.FUNDS, Bucket.AVAILABLE, {"earned": 1}, {"funds": -1, "owed": 1}),
    # A reward in an automatic asset is held for its delivery at once (DESIGN section 6, rule 1).
    PostingKind.REWARD_HELD: _effect(Bucket.FUNDS, Bucket.HELD, {"earned": 1, "held": 1}, {"funds": -1, "owed": 1}),
    # What was held for finality or for a review, and is not earned after all.
    PostingKind.REVERSE_HELD: _effect(Bucket.HELD, Bucket.FUNDS, {"held": -1, "reversed": 1}, {"owed": -1, "funds": 1}),
    PostingKind.HOLD: _effect(Bucket.AVAILABLE, Bucket.HELD, {"held": 1}),
    PostingKind.RELEASE: _effect(Bucket.HELD, Bucket.AVAILABLE, {"held": -1}),
    PostingKind.DELIVER: _effect(Bucket.HELD, Bucket.DELIVERED, {"held": -1, "claimed": 1}, {"owed": -1, "delivered": 1}),
    PostingKind.REVERSE: _effect(Bucket.AVAILABLE, Bucket.FUNDS, {"reversed": 1}, {"owed": -1, "funds": 1}),
    PostingKind.OWE: _effect(Bucket.ADJUSTED, Bucket.DEBT, {"debt": 1}, {"adjusted": -1, "debt": 1}),
    PostingKind.REPAY: _effect(Bucket.AVAILABLE, Bucket.FUNDS, {"reversed": 1}, {"owed": -1, "funds": 1}),
    PostingKind.SETTLE_DEBT: _effect(Bucket.DEBT, Bucket.ADJUSTED, {"debt": -1}, {"debt": -1, "adjusted": 1}),
    PostingKind.EXPIRE: _effect(Bucket.AVAILABLE, Bucket.EXPIRED, {"expired": 1}, {"owed": -1, "expired": 1}),
}


def available_change(effect: Effect) -> int:
    """By what sign a posting changes the account's available points."""
    sign = {"earned": 1, "moved": 1, "reversed": -1, "claimed": -1, "spent": -1, "expired": -1, "held": -1}
    return sum(change * sign.get(column, 0) for column, change in effect.account)
