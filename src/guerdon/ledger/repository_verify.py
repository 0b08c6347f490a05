"""The queries of `verify.py`. Each returns rows that break a rule, with a `subject` and what was expected and found.

They are written from the movement table, not from the code that books, so that an error there shows here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from guerdon.kit.database import ScopedSession
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import EFFECTS, Effect, available_change

Rows = Sequence[Mapping[str, Any]]
Check = Callable[[ScopedSession, UUID, int], Awaitable[Rows]]

_ACCOUNT_COLUMNS = ("earned", "reversed", "claimed", "spent", "expired", "moved", "held", "debt")
_PROGRAM_COLUMNS = ("funded", "funds", "owed", "debt", "delivered", "burned", "expired", "adjusted")


def _case(signs: Iterable[tuple[PostingKind, int]]) -> str:
    """An SQL expression: the amount of a posting with the sign that its kind has."""
    branches = " ".join(f"when '{kind.value}' then {sign} * p.amount" for kind, sign in signs if sign)
    return f"case p.kind {branches} else 0 end" if branches else "0"


def _sum(column: str, side: Callable[[Effect], tuple[tuple[str, int], ...]]) -> str:
    return f"coalesce(sum({_case((kind, dict(side(effect)).get(column, 0)) for kind, effect in EFFECTS.items())}), 0)"


def _differs(columns: Iterable[str]) -> str:
    return " or ".join(f"coalesce(b.{column}, 0) <> coalesce(s.{column}, 0)" for column in columns)


def _pairs(columns: Iterable[str]) -> str:
    return ", ".join(f"b.{column} as {column}, s.{column} as {column}_posted" for column in columns)


async def broken_rows(session: ScopedSession, statement: str, program_id: UUID, limit: int) -> Rows:
    """The first rows that `statement`, with `:program_id`, returns."""
    rows = await session.execute(text(statement + " limit :limit"), {"program_id": program_id, "limit": limit})
    return [dict(row) for row in rows.mappings()]


async def misdirected_postings(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Postings whose ends are not those of their kind, or that touch an account where the kind doesn't (or the reverse)."""
    ends = ", ".join(
        f"('{kind.value}', '{effect.from_bucket.value}', '{effect.to_bucket.value}', {str(effect.on_account).lower()})"
        for kind, effect in EFFECTS.items()
    )
    return await broken_rows(
        session,
        f"""
        select p.ref as subject, p.kind, p.from_bucket, p.to_bucket
          from postings p left join (values {ends}) e(kind, from_bucket, to_bucket, on_account) on e.kind = p.kind
         where p.program_id = :program_id
           and (e.kind is null or e.from_bucket <> p.from_bucket or e.to_bucket <> p.to_bucket
                or e.on_account <> (p.account_id is not null))
        """,
        program_id,
        limit,
    )


async def account_sums(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Accounts whose balances are not the sums of their postings."""
    sums = ", ".join(f"{_sum(column, lambda effect: effect.account)} as {column}" for column in _ACCOUNT_COLUMNS)
    return await broken_rows(
        session,
        f"""
        with s as (select p.asset_id, p.account_id, {sums} from postings p
                    where p.program_id = :program_id and p.account_id is not null group by 1, 2)
        select coalesce(b.account_id, s.account_id) as subject, {_pairs(_ACCOUNT_COLUMNS)}
          from (select * from account_balances where program_id = :program_id) b
          full join s on s.asset_id = b.asset_id and s.account_id = b.account_id
         where {_differs(_ACCOUNT_COLUMNS)}
        """,
        program_id,
        limit,
    )


async def running_balances(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Postings that do not follow from the one before them: a version missing, or another balance than before plus amount."""
    change = _case((kind, available_change(effect)) for kind, effect in EFFECTS.items())
    return await broken_rows(
        session,
        f"""
        with walked as (
            select p.account_id, p.asset_id, p.version, p.available_after, {change} as change,
                   coalesce(lag(p.version) over w, 0) as version_before,
                   coalesce(lag(p.available_after) over w, 0) as available_before,
                   lead(p.version) over w is null as is_last
              from postings p
             where p.program_id = :program_id and p.account_id is not null
            window w as (partition by p.asset_id, p.account_id order by p.version))
        select w.account_id as subject, w.version, w.version_before, w.available_before, w.change, w.available_after
          from walked w left join account_balances b
            on b.program_id = :program_id and b.asset_id = w.asset_id and b.account_id = w.account_id
         where w.version <> w.version_before + 1 or w.available_after <> w.available_before + w.change or w.available_after < 0
            or (w.is_last and (b.version is distinct from w.version or b.available is distinct from w.available_after))
        """,
        program_id,
        limit,
    )


async def program_sums(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Assets whose program balance is not the sum of its postings."""
    sums = ", ".join(f"{_sum(column, lambda effect: effect.program)} as {column}" for column in _PROGRAM_COLUMNS)
    return await broken_rows(
        session,
        f"""
        with s as (select p.asset_id, {sums} from postings p where p.program_id = :program_id group by 1)
        select coalesce(b.asset_id, s.asset_id) as subject, {_pairs(_PROGRAM_COLUMNS)}
          from (select * from program_balances where program_id = :program_id) b full join s on s.asset_id = b.asset_id
         where {_differs(_PROGRAM_COLUMNS)}
        """,
        program_id,
        limit,
    )


async def owed_and_held(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Assets for which the program's `owed` or `debt` is not the sum over its accounts."""
    return await broken_rows(
        session,
        """
        with s as (select asset_id, sum(available + held) as owed, sum(debt) as debt from account_balances
                    where program_id = :program_id group by 1)
        select b.asset_id as subject, b.owed, s.owed as of_accounts, b.debt, s.debt as debt_of_accounts
          from program_balances b left join s on s.asset_id = b.asset_id
         where b.program_id = :program_id and (b.owed <> coalesce(s.owed, 0) or b.debt <> coalesce(s.debt, 0))
        """,
        program_id,
        limit,
    )


async def held_and_deliveries(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Accounts whose held points are not those of their deliveries that are not over, of held accruals and of drops."""
    return await broken_rows(
        session,
        """
        with waiting as (select asset_id, account_id, points from deliveries
                          where program_id = :program_id and state not in ('final', 'refused', 'returned')
                         union all
                         select asset_id, account_id, points - reversed from accruals
                          where program_id = :program_id and held_for in ('finality', 'holding', 'review')
                         union all
                         select asset_id, account_id, points from drop_leaves
                          where program_id = :program_id and fate = 'waiting'),
        s as (select asset_id, account_id, sum(points) as points from waiting group by 1, 2)
        select coalesce(b.account_id, s.account_id) as subject, b.held, s.points as waiting
          from (select * from account_balances where program_id = :program_id) b
          full join s on s.asset_id = b.asset_id and s.account_id = b.account_id
         where coalesce(b.held, 0) <> coalesce(s.points, 0)
        """,
        program_id,
        limit,
    )
