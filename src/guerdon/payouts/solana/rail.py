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
from guerdon.chains.solana import instructions, keys, messages
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.markers import RENT_LAMPORTS, Marker, is_marker
from guerdon.chains.solana.messages import LARGEST_TRANSACTION, MOST_UNITS
from guerdon.chains.solana.programs import TOKEN_PROGRAMS
from guerdon.chains.solana.tokens import (
    Mint,
    NotATokenError,
    TokenAccount,
    associated_address,
    is_to_be_made,
    read_token_account,
)
from guerdon.chains.solana.values import AccountState, Simulation
from guerdon.kit.database import Database
from guerdon.payouts.payments import Payment
from guerdon.payouts.rail import BatchStatus, Call, EnvironmentProblem, Refusal
from guerdon.payouts.solana import repository
from guerdon.txmanager.models import IntentState, Treasury
from guerdon.txmanager.solana.signing import LEAST_LEFT
from guerdon.txmanager.solana.treasury import SolanaTreasury
from guerdon.txmanager.treasuries import Finality

LAMPORTS_A_GAS: Final = 64
"""At this price the gas that is reserved for a payout is the rent of a token account (`payouts/terms.py`)."""
MOST_PAYMENTS: Final = 13
"""Transfers that one transaction carries beside its marker; 7 where each one's account is made as well."""
_FEES: Final = 1_000_000
"""Lamports that are enough for the fees of any one transaction."""


_Accounts = Mapping[str, tuple[AccountState | None, AccountState | None]]
"""By the wallet's address what the chain has there, and at the address of its token account."""


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

    client: SolanaClient
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
        marker = Marker(self.treasury.address, UUID(bytes=batch))
        if is_marker((await self.client.accounts([marker.address], "confirmed")).found[marker.address], marker.treasury):
            return Refusal(f"the chain has a payment of this name already: {marker.address} exists", is_taken=True)
        try:
            mint, accounts = await self._read(owners)
        except NotATokenError as error:
            return Refusal(str(error))
        if mint.problem is not None:
            return Refusal(mint.problem)
        missing = [owner for owner in owners if is_to_be_made(accounts[owner][1])]
        closed = await repository.opened_before(self.database, self.treasury, missing)
        for place, payment in enumerate(payments):
            reason = _refused(payment, mint, accounts[payment.recipient], was_opened=payment.recipient in closed)
            if reason is not None:
                return Refusal(reason, place)
        plan = self._plan(batch, payments, mint, accounts)
        marked = [*marker.make(), *plan.instructions]
        size = messages.size_of(self.treasury.address, marked)
        if size > LARGEST_TRANSACTION:
            return Refusal(f"{size} bytes do not fit into a transaction of {LARGEST_TRANSACTION}", is_too_large=True)
        trial = await self._tried_out(marked)
        if (reason := trial.reason) is not None:
            at = None if trial.failed_instruction is None else trial.failed_instruction - _BEFORE
            return Refusal(reason, plan.payment_of[at] if at is not None and 0 <= at < len(plan.payment_of) else None)
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
        own = _read_account(accounts[address][1])
        balance = 0 if own is None else own.amount_atomic
        if own is not None and own.is_frozen:
            return EnvironmentProblem(
                "the treasury's token account is frozen",
                "Have the token's freeze authority thaw it; payouts go on by themselves.",
            )
        if balance < total:
            return EnvironmentProblem(
                f"balance short: the treasury holds {balance} of the {total} to be paid",
                f"Send the missing tokens to {address}; payouts go on by themselves.",
            )
        needed = RENT_LAMPORTS + LEAST_LEFT + _FEES + len(payments) * mint.account_rent
        lamports = await self.client.balance(address)
        if lamports < needed:
            return EnvironmentProblem(
                f"lamports short: the treasury's key has {lamports} of the {needed} that fees and rent may take",
                f"Send SOL to {address}; payouts go on by themselves.",
            )
        probe = min((payment.amount_atomic for payment in payments), default=1)
        account = associated_address(address, mint)
        trial = await self._tried_out([instructions.transfer_checked(account, account, address, mint, probe)])
        if trial.error is None:
            return None
        return EnvironmentProblem(
            f"the token refuses every transfer: {trial.reason}",
            "Lift what the token holds against the treasury (`guerdon treasury list`); payouts go on by themselves.",
        )

    def name_of_batch(self, batch: bytes, payments: Sequence[Payment]) -> str:  # noqa: ARG002 - of every rail
        """The marker that the batch's payment makes. Its transaction is one for ever, so it need not be bound to the contents."""
        return Marker(self.treasury.address, UUID(bytes=batch)).address

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
            None, messages.pack(self.treasury.address, plan.instructions), value=plan.rent(mint), intent_id=UUID(bytes=batch),
            opens=plan.opens,
        )  # fmt: skip

    async def statuses(self, names: Sequence[str], position: int | None = None) -> dict[str, BatchStatus]:
        """What is known of batches of this treasury: by their intents where these are over, else by the chain at finality."""
        if not names:
            return {}
        states = await repository.intents_by_marker(self.database, self.treasury, names)
        found = {name: _ENDED[state] for name, state in states.items() if state in _ENDED}
        rest = [name for name in names if name not in found]
        exists = await self.client.markers(self.treasury.address, rest, least_slot=position) if rest else {}
        # Where the marker is missing, a form of it may still land: that is new, and not void.
        return found | {name: BatchStatus.PAID if exists[name] else BatchStatus.NEW for name in rest}

    async def finality(self) -> Finality:
        """What the treasury holds after the finalized slot."""
        return await SolanaTreasury(self.client, self.treasury).finality()

    async def _read(self, owners: Sequence[str]) -> tuple[Mint, _Accounts]:
        """The mint, and each wallet with its token account. Raises `NotATokenError`."""
        mint = await SolanaTreasury(self.client, self.treasury).mint()
        if mint.decimals != self.treasury.token_decimals:
            raise NotATokenError(f"the token has {mint.decimals} decimals, and not {self.treasury.token_decimals}")
        at = {owner: associated_address(owner, mint) for owner in owners if keys.is_address(owner)}
        found = (await self.client.accounts([*at, *at.values()], "confirmed")).found
        pairs = {owner: (found[owner], found[account]) for owner, account in at.items()}
        return mint, {owner: pairs.get(owner, (None, None)) for owner in owners}

    async def _tried_out(self, chosen: Sequence[Instruction]) -> Simulation:
        """What the treasury's transaction with these instructions would do now."""
        address = self.treasury.address
        survey = await self.client.survey(address)
        message = messages.compose(address, chosen, units=MOST_UNITS, unit_price=0, blockhash=survey.blockhash)
        (trial,) = await self.client.simulate([messages.complete(message, None)], least_slot=survey.slot)
        return trial

    def _plan(self, batch: bytes, payments: Sequence[Payment], mint: Mint, accounts: _Accounts) -> _Plan:
        payer = self.treasury.address
        source = associated_address(payer, mint)
        # No memo: the batch's id is in every transaction as the seed of its marker, so that no two are equal.
        chosen: list[Instruction] = []
        payment_of: list[int | None] = []
        opens: list[str] = []
        for place, payment in enumerate(payments):
            owner = payment.recipient
            account = _read_account(accounts[owner][1])
            mine: list[Instruction] = []
            if account is None:
                opens.append(owner)
                mine.append(instructions.create_token_account(payer, owner, mint))
            elif account.needs_memo:
                # Right before the transfer, or the account refuses it.
                mine.append(instructions.memo(UUID(bytes=batch).hex[:8]))
            mine.append(
                instructions.transfer_checked(source, associated_address(owner, mint), payer, mint, payment.amount_atomic)
            )
            chosen += mine
            payment_of += [place] * len(mine)
        return _Plan(tuple(chosen), tuple(payment_of), tuple(opens))


_BEFORE: Final = 5
"""Instructions that the engine puts before those of a batch: two of the compute budget, three of the marker."""
_ENDED: Final = {
    IntentState.FINAL: BatchStatus.PAID,
    IntentState.FAILED: BatchStatus.VOID,
    IntentState.VOID: BatchStatus.VOID,
}
"""An intent ends only by proof: `failed` and `void` ones have no form that could land."""


def _read_account(account: AccountState | None) -> TokenAccount | None:
    """A token account; None if it is still to be made. Raises `NotATokenError`."""
    return None if account is None or is_to_be_made(account) else read_token_account(account)


def _refused(
    payment: Payment, mint: Mint, found: tuple[AccountState | None, AccountState | None], *, was_opened: bool
) -> str | None:
    """Why a wallet can't be paid, for certain (SAFETY S35); None if nothing is known against it."""
    wallet, account = found
    if not keys.is_address(payment.recipient):
        return "this is no address of a Solana"
    if payment.amount_atomic > instructions.LARGEST_AMOUNT:
        return "the amount is larger than a token account can hold"
    if wallet is not None and (wallet.executable or wallet.owner in TOKEN_PROGRAMS):
        return "the destination is a program, a token or a token account, and no wallet"
    try:
        read = _read_account(account)
    except NotATokenError as error:
        return f"where its tokens should be is something else: {error}"
    if read is None:
        if not keys.is_on_curve(payment.recipient):
            return "the destination belongs to a program and has no account for this token"
        return (
            "its token account was closed after its rent had been paid; it has to be opened again first" if was_opened else None
        )
    if (read.owner, read.mint) != (payment.recipient, mint.address):
        return "its token account belongs to somebody else"
    return read.problem
