"""Taking settled volume back: a settlement that was reorganised away, or that an operator rejected.

Everything it counted for is given back: volume, fraction, budgets, places, caps, weight in pools that are not frozen; and a
milestone that is not reached without it is taken from the accrual that it was paid with (what it drew on the caps of its day
stays drawn). Its points are held as a rule; of
what is available already, what is there is taken, and the rest is by the program's policy a debt (SAFETY S13).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from uuid import UUID, uuid5

from guerdon.earning import repository_accruals as accruals_of
from guerdon.earning import repository_volume as repository
from guerdon.earning import repository_volume_write as writing
from guerdon.earning.repository_accruals import Booked
from guerdon.earning.volume_life import lock_accounts_of
from guerdon.earning.volume_state import Participation, Spending
from guerdon.earning.volume_terms import HELD, MILLION, UNDONE, Held, is_reached
from guerdon.kit.database import ScopedSession
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Balance, Movement
from guerdon.programs.errors import ProgramNotFoundError
from guerdon.programs.models import Program, ReversalPolicy

_TOLD = {
    Held.REORGANISED: "Taken back: the payment is not on the chain any more.",
    Held.REJECTED: "Taken back: rejected in review.",
}
_MOST_OTHERS = 200
"""Accruals of one account that are looked at for what a fraction is short of."""


@dataclass(slots=True)
class Undone:
    """What a call has taken back, in points."""

    settlements: int = 0
    from_held: int = 0
    from_available: int = 0
    as_debt: int = 0
    written_off: int = 0


async def undo(session: ScopedSession, program_id: UUID, ids: Sequence[UUID], why: Held, now: datetime) -> Undone:
    """Take these settlements back, in the caller's transaction; one that is undone already is left as it is."""
    program = await session.get(Program, program_id)
    if program is None:
        raise ProgramNotFoundError
    found, balances = await lock_accounts_of(session, program_id, ids)
    undone = [accrual for accrual in found if accrual.held_for not in UNDONE]
    if not undone:
        return Undone()
    by_asset: dict[UUID, list[Booked]] = defaultdict(list)
    for accrual in undone:
        by_asset[accrual.asset_id].append(accrual)
    total = Undone()
    for asset_id, accruals in sorted(by_asset.items()):
        undoing = _Undoing(session, program_id, asset_id, ReversalPolicy(program.reversal_policy), balances, why, now, total)
        await undoing.take(accruals)
    return total


@dataclass(slots=True)
class _Undoing:
    """One asset's part of a call. Everything is gathered, then written once."""

    session: ScopedSession
    program_id: UUID
    asset_id: UUID
    policy: ReversalPolicy
    balances: dict[ledger_repository.AccountKey, Balance]
    why: Held
    now: datetime
    total: Undone
    written: dict[UUID, Booked] = field(default_factory=dict[UUID, Booked])
    days: dict[tuple[UUID, date], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    taken: dict[UUID, tuple[Booked, int, UUID]] = field(default_factory=dict[UUID, tuple[Booked, int, UUID]])
    """By accrual: points to be taken of it, and the posting's key."""
    fractions: dict[UUID, int] = field(default_factory=dict[UUID, int])
    spending: dict[UUID, Spending] = field(default_factory=dict[UUID, Spending])
    parts: dict[tuple[UUID, UUID], Participation] = field(default_factory=dict[tuple[UUID, UUID], Participation])
    payers: dict[tuple[UUID, str], int] = field(default_factory=dict[tuple[UUID, str], int])
    caps: dict[tuple[date, str], int] = field(default_factory=dict[tuple[date, str], int])
    open: frozenset[UUID] = frozenset()
    """Campaigns that still count: a pool that is frozen keeps what it was shared out by."""

    async def take(self, accruals: Sequence[Booked]) -> None:
        """Take these back and write what that changes."""
        await self._load(accruals)
        for accrual in accruals:
            self._give_back(accrual)
        # A milestone may rest on what is gone, though another settlement, of the same account, was paid for it.
        await self._revoke(accruals)
        for account_id in sorted({accrual.account_id for accrual in accruals}):
            await self._mend_fraction(account_id, accruals)
        self._free_places()
        await self._write(accruals)

    async def _load(self, accruals: Sequence[Booked]) -> None:
        """Lock campaigns and caps in their order, then read."""
        uses = [(UUID(use["campaign"]), one) for one in accruals for use in one.counted["uses"]]
        ids = sorted({campaign for campaign, _ in uses})
        self.spending = await repository.lock_campaigns(self.session, self.program_id, ids)
        self.caps = await repository.lock_caps(
            self.session, self.program_id, {(_day(one), whose) for one in accruals for whose in one.counted["caps"]}
        )
        campaigns = await repository.campaigns(self.session, self.program_id, ids)
        self.open = frozenset(campaign.id for campaign in campaigns if not campaign.frozen)
        self.parts = await repository.participations(
            self.session, self.program_id, sorted({(campaign, one.account_id) for campaign, one in uses})
        )
        self.payers = await repository.payers(
            self.session, self.program_id, sorted({(campaign, one.counted["payer"]) for campaign, one in uses})
        )
        accounts = sorted({one.account_id for one in accruals})
        nowhere = _day(accruals[0])
        self.fractions, _ = await repository.accounts(self.session, self.program_id, self.asset_id, accounts, nowhere, date.min)

    def _give_back(self, accrual: Booked) -> None:
        day = self.days[accrual.account_id, _day(accrual)]
        day[0] -= accrual.volume_micro_usd
        day[1] -= 1
        for use in accrual.counted["uses"]:
            campaign = UUID(use["campaign"])
            if campaign not in self.open:
                continue
            self._spend_less(campaign, accrual, int(use["millionths"]))
            part = self.parts[campaign, accrual.account_id]
            part.volume_micro_usd -= accrual.volume_micro_usd
            part.settlements -= 1
            part.weight -= int(use["weight"])
            for key in use["milestones"]:
                part.reached.pop(key, None)
        for whose, millionths in accrual.counted["caps"].items():
            self.caps[_day(accrual), whose] -= int(millionths)
        fraction = self.fractions.get(accrual.account_id, 0)
        self.fractions[accrual.account_id] = fraction + accrual.left * MILLION - accrual.millionths
        self._take(accrual, accrual.left, accrual.id)
        accrual.reasons.append({"kind": "reversed", "text": _TOLD[self.why]})

    async def _revoke(self, accruals: Sequence[Booked]) -> None:
        rested: list[tuple[UUID, UUID, str, UUID]] = []
        for (campaign, account), part in self.parts.items():
            for key, settlement in part.reached.items():
                if not is_reached(key, part.volume_micro_usd, part.settlements):
                    rested.append((campaign, account, key, settlement))
        gone = {one.id for one in accruals}
        found = await accruals_of.booked(self.session, self.program_id, [settlement for *_, settlement in rested])
        paid_with = {one.id: self.written.get(one.id, one) for one in found if one.held_for not in UNDONE and one.id not in gone}
        cause = min(gone)
        for campaign, account, key, settlement in rested:
            if (accrual := paid_with.get(settlement)) is None or campaign not in self.open:
                continue
            use = next(use for use in accrual.counted["uses"] if use["campaign"] == str(campaign))
            points = int(use["milestones"].pop(key))
            use["millionths"] = str(int(use["millionths"]) - points * MILLION)
            del self.parts[campaign, account].reached[key]
            await self._know_payer(campaign, accrual.counted["payer"])
            self._spend_less(campaign, accrual, points * MILLION)
            taken = min(points, accrual.left - self._planned(accrual))
            accrual.millionths -= points * MILLION
            self.fractions[account] = self.fractions.get(account, 0) + (taken - points) * MILLION
            self._take(accrual, taken, uuid5(accrual.id, str(cause)))
            accrual.reasons.append({"kind": "reversed", "text": f"{points} points taken back: {key} is not reached any more."})

    async def _mend_fraction(self, account_id: UUID, accruals: Sequence[Booked]) -> None:
        """Points that others became whole by with what is gone: taken of the newest that something is left of."""
        short = -(self.fractions[account_id] // MILLION)
        if short <= 0:
            return
        without = [one.id for one in accruals]
        for found in await accruals_of.newest_of(self.session, self.program_id, account_id, self.asset_id, without, _MOST_OTHERS):
            accrual = self.written.get(found.id, found)
            taken = min(short, accrual.left - self._planned(accrual))
            if taken:
                self._take(accrual, taken, uuid5(accrual.id, str(min(without))))
                accrual.reasons.append({"kind": "reversed", "text": f"{taken} points taken back with another payment."})
                self.fractions[account_id] += taken * MILLION
                short -= taken
            if not short:
                return

    def _free_places(self) -> None:
        for (campaign, _), part in self.parts.items():
            if part.joined and campaign in self.open and not part.spent and not part.weight:
                part.joined = False
                self.spending[campaign].participants -= 1

    async def _write(self, accruals: Sequence[Booked]) -> None:
        await writing.write(
            self.session,
            self.program_id,
            writing.Written(
                self.asset_id,
                fractions=self.fractions,
                participations={key: part for key, part in self.parts.items() if key[0] in self.open},
                payers={key: spent for key, spent in self.payers.items() if key[0] in self.open},
                spending={campaign: one for campaign, one in self.spending.items() if campaign in self.open},
                caps=self.caps,
            ),
            self.now,
        )
        await repository.add_days(self.session, self.program_id, {key: (day[0], day[1]) for key, day in self.days.items()})
        movements = self._movements()
        for accrual in accruals:
            accrual.held_for = self.why
        await accruals_of.update(self.session, self.program_id, list(self.written.values()))
        await ledger.post_new(self.session, self.program_id, movements, self.balances, self.now)
        self.total.settlements += len(accruals)

    def _movements(self) -> list[Movement]:
        available = {key: balance.available for key, balance in self.balances.items()}
        movements: list[Movement] = []
        for accrual, points, ref in self.taken.values():
            if not points:
                continue
            accrual.reversed += points
            if accrual.held_for in HELD:
                self.total.from_held += points
                movements.append(Movement(PostingKind.REVERSE_HELD, ref, self.asset_id, points, accrual.account_id))
                continue
            key = (self.asset_id, accrual.account_id)
            there = min(points, available[key])
            available[key] -= there
            owed = points - there if self.policy is ReversalPolicy.DEBT else 0
            self.total.from_available += there
            self.total.as_debt += owed
            self.total.written_off += points - there - owed
            for kind, amount in ((PostingKind.REVERSE, there), (PostingKind.OWE, owed)):
                if amount:
                    movements.append(Movement(kind, ref, self.asset_id, amount, accrual.account_id))
        return movements

    def _take(self, accrual: Booked, points: int, ref: UUID) -> None:
        """Plan to take `points` of an accrual; its posting has one key, whatever they are taken for."""
        self.written[accrual.id] = accrual
        _, before, key = self.taken.get(accrual.id, (accrual, 0, ref))
        self.taken[accrual.id] = (accrual, before + points, key)

    def _planned(self, accrual: Booked) -> int:
        return self.taken[accrual.id][1] if accrual.id in self.taken else 0

    def _spend_less(self, campaign: UUID, accrual: Booked, millionths: int) -> None:
        self.spending[campaign].spent -= millionths
        self.parts[campaign, accrual.account_id].spent -= millionths
        if millionths:
            self.payers[campaign, accrual.counted["payer"]] -= millionths

    async def _know_payer(self, campaign: UUID, payer: str) -> None:
        """The other settlement may have had another payer; its row is safe under the campaign's lock."""
        if (campaign, payer) not in self.payers:
            self.payers |= await repository.payers(self.session, self.program_id, [(campaign, payer)])


def _day(accrual: Booked) -> date:
    return accrual.settled_at.astimezone(UTC).date()
