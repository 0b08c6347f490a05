"""The rail of a Solana: would a batch be paid, was it, what pays it. Reads only (`payouts/rail.py` says what a rail is).

The chain knows a batch by its marker, an account that its transaction makes and no second one can. A marker is closed once
nothing signed can land any more, so what was paid before is told by the intent, which ended by proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from solders.instruction import Instruction

from guerdon.chains.port import ChainUnavailableError
from guerdon.kit.database import Database
from guerdon.payouts.payments import Payment
from guerdon.payouts.rail import BatchStatus, Call, EnvironmentProblem, Refusal
from guerdon.payouts.solana import repository, tokens
from guerdon.payouts.solana.reading import Reader
from guerdon.payouts.solana.tokens import Account, Mint, NotATokenError, TokenAccount
from guerdon.txmanager.models import IntentState, Treasury
from guerdon.txmanager.solana import messages
from guerdon.txmanager.solana.messages import MARKER_RENT, PACKET_BYTES
from guerdon.txmanager.solana.signing import LEAST_LEFT
from guerdon.txmanager.treasuries import Finality

LAMPORTS_A_GAS: Final = 64
"""At this price the gas that is reserved for a payout is the rent of a token account (`payouts/terms.py`)."""
MOST_PAYMENTS: Final = 13
"""Transfers that one transaction carries beside its marker; 7 where each one's account is made as well."""
_FEES: Final = 1_000_000
"""Lamports that are enough for the fees of any one transaction."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A batch's instructions, as they were found to be needed."""

    instructions: tuple[Instruction, ...]
    payment_of: tuple[int | None, ...]
    """For each instruction, the place of its payment."""
    opens: tuple[str, ...]
    """Wallets whose token accounts are made."""

    def rent(self, mint: Mint) -> int:
        """The most lamports that the accounts cost."""
        return len(self.opens) * mint.account_rent


@dataclass
class SolanaRail:
    """Bound to one treasury."""

    reader: Reader
    database: Database
    treasury: Treasury
    _plans: dict[bytes, tuple[_Plan, Mint]] = field(default_factory=dict[bytes, tuple[_Plan, Mint]])

    @property
    def treasury_address(self) -> str:
        """Whose tokens are paid."""
        return self.treasury.address

    async def simulate(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Refusal | None:
        """None if the batch could be paid now. Raises `ChainUnavailableError` where nobody knows, or must not know yet."""
        if supersedes:
            # The chain has no word for "in place of": what came before has to be proven dead.
            raise ChainUnavailableError(f"An earlier batch of these payouts may still land: {', '.join(supersedes)}.")
        owners = [payment.recipient for payment in payments]
        try:
            mint, accounts = await self._read(owners)
        except NotATokenError as error:
            return Refusal(str(error))
        if mint.problem is not None:
            return Refusal(mint.problem)
        missing = [owner for owner in owners if accounts[owner][1] is None]
        closed = await repository.opened_before(self.database, self.treasury, missing)
        for place, payment in enumerate(payments):
            reason = _refused(payment, mint, accounts[payment.recipient], was_opened=payment.recipient in closed)
            if reason is not None:
                return Refusal(reason, place)
        plan = self._plan(batch, payments, mint, accounts)
        data = messages.packed(self.treasury.address, plan.instructions)
        size = messages.size_of(self.treasury.address, data, has_marker=True)
        if size > PACKET_BYTES:
            return Refusal(f"{size} bytes do not fit into a transaction of {PACKET_BYTES}", is_too_large=True)
        trial = await self.reader.try_out(self.treasury.address, data, UUID(bytes=batch))
        if trial.error is not None:
            at = None if trial.place is None else trial.place - _BEFORE
            return Refusal(trial.error, plan.payment_of[at] if at is not None and 0 <= at < len(plan.payment_of) else None)
        self._plans[batch] = plan, mint
        return None

    async def environment_problem(self, payments: Sequence[Payment]) -> EnvironmentProblem | None:
        """What stops even a known-good transfer, the smallest amount from the treasury to itself; None if that works."""
        address, total = self.treasury.address, sum(payment.amount_atomic for payment in payments)
        try:
            mint, accounts = await self._read([address])
        except NotATokenError as error:
            return EnvironmentProblem(str(error), "Give the asset, or its payout option, the right token of this network.")
        if mint.problem is not None:
            return EnvironmentProblem(mint.problem, "Pay in another token: this one is not supported.")
        own = accounts[address][1]
        balance = 0 if own is None else _token_account(own).amount
        if own is not None and _token_account(own).is_frozen:
            return EnvironmentProblem(
                "the treasury's token account is frozen",
                "Have the token's freeze authority thaw it; payouts go on by themselves.",
            )
        if balance < total:
            return EnvironmentProblem(
                f"balance short: the treasury holds {balance} of the {total} to be paid",
                f"Send the missing tokens to {address}; payouts go on by themselves.",
            )
        needed = MARKER_RENT + LEAST_LEFT + _FEES + len(payments) * mint.account_rent
        lamports = await self.reader.lamports(address)
        if lamports < needed:
            return EnvironmentProblem(
                f"lamports short: the treasury's key has {lamports} of the {needed} that fees and rent may take",
                f"Send SOL to {address}; payouts go on by themselves.",
            )
        probe = min((payment.amount_atomic for payment in payments), default=1)
        data = messages.packed(address, [tokens.transfer_checked(address, address, probe, mint)])
        trial = await self.reader.try_out(address, data, None)
        if trial.error is None:
            return None
        return EnvironmentProblem(
            f"the token refuses every transfer: {trial.error}",
            "Lift what the token holds against the treasury (`guerdon treasury list`); payouts go on by themselves.",
        )

    def name_of_batch(self, batch: bytes, payments: Sequence[Payment]) -> str:  # noqa: ARG002 - of every rail
        """The marker that the batch's payment makes. Its transaction is one for ever, so it need not be bound to the contents."""
        return messages.marker_of(self.treasury.address, UUID(bytes=batch))

    def transaction(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Call:
        """What pays the batch, as it was simulated last."""
        if supersedes or batch not in self._plans:
            message = "a batch is paid as it was simulated, and in place of none that may land"
            raise AssertionError(message)
        plan, mint = self._plans[batch]
        if len({at for at in plan.payment_of if at is not None}) != len(payments):
            message = "another list than the one that was simulated"
            raise AssertionError(message)
        return Call(
            None, messages.packed(self.treasury.address, plan.instructions), value=plan.rent(mint), intent_id=UUID(bytes=batch),
            opens=plan.opens,
        )  # fmt: skip

    async def statuses(self, names: Sequence[str], position: int | None = None) -> dict[str, BatchStatus]:
        """What is known of batches of this treasury: by their intents where these are over, else by the chain at finality."""
        if not names:
            return {}
        states = await repository.intents_by_marker(self.database, self.treasury, names)
        found = {name: _ENDED[state] for name, state in states.items() if state in _ENDED}
        rest = [name for name in names if name not in found]
        exists = await self.reader.markers(self.treasury.address, rest, position) if rest else {}
        # Where the marker is missing, a form of it may still land: that is new, and not void.
        return found | {name: BatchStatus.PAID if exists[name] else BatchStatus.NEW for name in rest}

    async def finality(self) -> Finality:
        """What the treasury holds after the finalized slot."""
        return await self.reader.finality(self.treasury.address, self.treasury.token_address)

    async def _read(self, owners: Sequence[str]) -> tuple[Mint, Mapping[str, tuple[Account | None, Account | None]]]:
        """The mint, and each wallet with its token account. Raises `NotATokenError`."""
        mint = tokens.read_mint(
            self.treasury.token_address, (await self.reader.accounts([self.treasury.token_address]))[self.treasury.token_address]
        )
        if mint.decimals != self.treasury.token_decimals:
            raise NotATokenError(f"the token has {mint.decimals} decimals, and not {self.treasury.token_decimals}")
        valid = [owner for owner in owners if messages.is_address(owner)]
        at = {owner: tokens.account_address(owner, mint) for owner in valid}
        found = await self.reader.accounts([*valid, *at.values()])
        return mint, {owner: (found[owner], found[at[owner]]) if owner in at else (None, None) for owner in owners}

    def _plan(
        self, batch: bytes, payments: Sequence[Payment], mint: Mint, accounts: Mapping[str, tuple[Account | None, Account | None]]
    ) -> _Plan:
        payer = self.treasury.address
        # No memo: the batch's id is in every transaction as the seed of its marker, so that no two are equal.
        instructions: list[Instruction] = []
        payment_of: list[int | None] = []
        opens: list[str] = []
        for place, payment in enumerate(payments):
            owner = payment.recipient
            account = accounts[owner][1]
            mine: list[Instruction] = []
            if account is None:
                opens.append(owner)
                mine.append(tokens.creation(payer, owner, mint))
            elif _token_account(account).needs_memo:
                # Right before the transfer, or the account refuses it.
                mine.append(tokens.memo(UUID(bytes=batch).hex[:8]))
            mine.append(tokens.transfer_checked(payer, owner, payment.amount_atomic, mint))
            instructions += mine
            payment_of += [place] * len(mine)
        return _Plan(tuple(instructions), tuple(payment_of), tuple(opens))


_BEFORE: Final = 5
"""Instructions that the engine puts before those of a batch: two of the compute budget, three of the marker."""
_ENDED: Final = {
    IntentState.FINAL: BatchStatus.PAID,
    IntentState.FAILED: BatchStatus.VOID,
    IntentState.VOID: BatchStatus.VOID,
}
"""An intent ends only by proof: `failed` and `void` ones have no form that could land."""


def _token_account(account: Account) -> TokenAccount:
    return tokens.read_account(account)


def _refused(payment: Payment, mint: Mint, found: tuple[Account | None, Account | None], *, was_opened: bool) -> str | None:
    """Why a wallet can't be paid, for certain (SAFETY S35); None if nothing is known against it."""
    wallet, account = found
    if not messages.is_address(payment.recipient):
        return "this is no address of a Solana"
    if payment.amount_atomic > tokens.MOST_ATOMIC:
        return "the amount is larger than a token account can hold"
    if wallet is not None and (wallet.executable or wallet.owner in tokens.PROGRAMS):
        return "the destination is a program, a token or a token account, and no wallet"
    if account is None:
        if not tokens.is_wallet_address(payment.recipient):
            return "the destination belongs to a program and has no account for this token"
        return (
            "its token account was closed after its rent had been paid; it has to be opened again first" if was_opened else None
        )
    try:
        read = tokens.read_account(account)
    except NotATokenError as error:
        return f"where its tokens should be is something else: {error}"
    if (read.owner, read.mint) != (payment.recipient, mint.address):
        return "its token account belongs to somebody else"
    return "its token account is frozen" if read.is_frozen else None
