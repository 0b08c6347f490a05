"""The accounts of the chain, as they are and as they were at the last slots; and what a transaction does to them.

Execution is LiteSVM's. What it leaves to others is here: how old a blockhash may be, that a signature counts once, the priority
fee, and what an account was at a commitment.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from solders.account import Account
from solders.clock import Clock
from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from guerdon.chains.localsolana.records import Inner, StoredAccount, TokenBalance

SIGNATURE_FEE: Final = 5_000
LAST_UNITS: Final = 1_400_000
_UNITS_AN_INSTRUCTION: Final = 200_000
_MICRO: Final = 1_000_000
_LOG_BYTES: Final = 10_000
_LOOKUP_HEADER: Final = 56
_KEY_BYTES: Final = 32
_TOKEN_BYTES: Final = 165
_TOKEN_STATE: Final = 108
_MINT_DECIMALS: Final = 44
_MINT_BYTES: Final = 82
_ACCOUNT_TYPE: Final = 165
_IS_TOKEN_ACCOUNT: Final = 2
_SET_LIMIT: Final = 2
_SET_PRICE: Final = 3
TOKEN_PROGRAMS: Final = (
    Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
    Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"),
)
NOBODY: Final = Pubkey.default()


@dataclass(slots=True)
class Ran:
    """What became of a transaction that was run."""

    error: Any
    """As Solana writes it; None: it succeeded."""
    charged: bool
    """It is in the chain, and its fee is paid. Without it, it never was there."""
    fee: int
    units: int
    logs: list[str]
    inner: list[tuple[int, list[Inner]]]
    return_data: tuple[str, bytes] | None
    keys: list[Pubkey]
    loaded_writable: list[Pubkey]
    loaded_readonly: list[Pubkey]
    """Those of lookup tables; the keys have them at their end."""
    before: list[Account | None] = field(default_factory=list[Account | None])
    after: list[Account | None] = field(default_factory=list[Account | None])

    def changes(self) -> Iterator[tuple[Pubkey, Account | None, Account | None]]:
        """The accounts that are not what they were, with what they were and are."""
        for key, before, after in zip(self.keys, self.before, self.after, strict=True):
            if before != after:
                yield key, before, after


class Bank:
    """Accounts and execution. It knows slots as numbers only."""

    def __init__(self) -> None:
        # Blockhashes and repeats are looked after by the chain, for many blockhashes and over restarts.
        self._vm = LiteSVM().with_blockhash_check(False).with_transaction_history(0).with_log_bytes_limit(_LOG_BYTES)  # noqa: FBT003
        self._versions: dict[Pubkey, list[tuple[int, Account | None]]] = {}
        self._written: deque[tuple[int, Pubkey]] = deque()
        self._slot = -1

    def account(self, address: Pubkey, slot: int | None = None) -> Account | None:
        """An account as it is, or as it was at the end of a slot not older than the finalized one; None: there is none."""
        if slot is not None and (versions := self._versions.get(address)) is not None:
            for since, found in reversed(versions):
                if since <= slot:
                    return found
            return versions[0][1]
        found = self._vm.get_account(address)
        return None if found is None or found.lamports == 0 else found

    def rent(self, size: int) -> int:
        """The lamports that an account of a size needs to stay."""
        return self._vm.minimum_balance_for_rent_exemption(size)

    def restore(self, accounts: Iterable[StoredAccount]) -> None:
        """Accounts as they were written."""
        for one in accounts:
            self._vm.set_account(Pubkey(one.address), thawed(one) or Account(0, b"", NOBODY))

    def note(self, slot: int, address: Pubkey, before: Account | None, after: Account | None) -> None:
        """Remember what an account was before a slot's transaction, and after it."""
        self._versions.setdefault(address, [(-1, before)]).append((slot, after))
        self._written.append((slot, address))

    def forget(self, finalized: int) -> None:
        """Versions that nobody can ask for any more."""
        while self._written and self._written[0][0] <= finalized:
            _, address = self._written.popleft()
            versions = self._versions.get(address)
            if versions is None:
                continue
            while len(versions) > 1 and versions[1][0] <= finalized:
                versions.pop(0)
            if len(versions) == 1:
                del self._versions[address]

    def run(self, transaction: VersionedTransaction, slot: int, unix_time: int) -> Ran:
        """Run a transaction at the head; what it did is in the accounts, whether it succeeded or not."""
        self._set_clock(slot, unix_time)
        ran = self._prepared(transaction)
        payer, priority = ran.keys[0], ran.fee - SIGNATURE_FEE * len(transaction.signatures)
        ran.before = [self.account(key) for key in ran.keys]
        paying = ran.before[0]
        if priority and not self._take(payer, paying, ran.fee, priority):
            ran.error = "AccountNotFound" if paying is None else "InsufficientFundsForFee"
            return ran
        self._tell(ran, self._vm.send_transaction(transaction))
        ran.after = [self.account(key) for key in ran.keys]
        if ran.error is None and (place := self._poor(ran)) is not None and paying is not None:
            ran.error = _rent_error(place)
            for key, before, _ in ran.changes():
                self._vm.set_account(key, before or Account(0, b"", NOBODY))
            self._vm.set_account(payer, _with_lamports(paying, paying.lamports - ran.fee))
            ran.after = [self.account(key) for key in ran.keys]
        ran.charged = ran.error is None or _lamports(ran.after[0]) == _lamports(paying) - ran.fee != _lamports(paying)
        if not ran.charged and paying is not None and priority:
            self._vm.set_account(payer, paying)
        if ran.charged:
            for key, before, after in ran.changes():
                self.note(slot, key, before, after)
        return ran

    def simulate(self, transaction: VersionedTransaction, slot: int, unix_time: int, *, verify: bool) -> Ran:
        """What a transaction would do on the accounts as they were at a slot."""
        self._set_clock(slot, unix_time)
        ran = self._prepared(transaction, slot)
        ran.before = [self.account(key, slot) for key in ran.keys]
        priority = ran.fee - SIGNATURE_FEE * len(transaction.signatures)
        self._vm = self._vm.with_sigverify(verify)
        try:
            with self._as_of(slot, ran.keys):
                if priority and not self._take(ran.keys[0], ran.before[0], ran.fee, priority):
                    ran.error = "AccountNotFound" if ran.before[0] is None else "InsufficientFundsForFee"
                    return ran
                found = self._vm.simulate_transaction(transaction)
        finally:
            self._vm = self._vm.with_sigverify(True)  # noqa: FBT003
        self._tell(ran, found)
        posts = {} if isinstance(found, FailedTransactionMetadata) else dict(found.post_accounts())
        ran.after = [posts.get(key, before) for key, before in zip(ran.keys, ran.before, strict=True)]
        if ran.error is None and (place := self._poor(ran)) is not None:
            ran.error = _rent_error(place)
        return ran

    def fee(self, transaction: VersionedTransaction) -> int:
        """What the fee payer pays, in lamports: for signatures, and the priority fee."""
        units, price = _budget(transaction)
        return SIGNATURE_FEE * len(transaction.signatures) + -(-units * price // _MICRO)

    def price(self, transaction: VersionedTransaction) -> int:
        """What a transaction offers a compute unit, in micro-lamports."""
        return _budget(transaction)[1]

    def tokens(self, keys: Sequence[Pubkey], accounts: Sequence[Account | None]) -> list[TokenBalance]:
        """What those of the accounts hold that are token accounts."""
        found = list[TokenBalance]()
        for place, account in enumerate(accounts):
            if account is None or not is_token_account(account):
                continue
            mint = Pubkey(account.data[:_KEY_BYTES])
            made = accounts[keys.index(mint)] if mint in keys else self.account(mint)
            if made is None or len(made.data) < _MINT_BYTES:
                continue
            found.append(
                TokenBalance(
                    place=place,
                    mint=str(mint),
                    owner=str(Pubkey(account.data[_KEY_BYTES : 2 * _KEY_BYTES])),
                    program=str(account.owner),
                    amount=int.from_bytes(account.data[64:72], "little"),
                    decimals=made.data[_MINT_DECIMALS],
                )
            )
        return found

    def _poor(self, ran: Ran) -> int | None:
        """The place of an account that is left with less than its rent, which LiteSVM does not look at."""
        for place, (before, after) in enumerate(zip(ran.before, ran.after, strict=True)):
            if after is None or before == after or after.lamports == 0 or after.lamports >= self.rent(len(after.data)):
                continue
            was_poor = before is not None and before.lamports < self.rent(len(before.data)) and before.data == after.data
            if not was_poor or _lamports(before) < after.lamports:
                return place
        return None

    def _prepared(self, transaction: VersionedTransaction, slot: int | None = None) -> Ran:
        writable, readonly = self._loaded(transaction, slot)
        keys = [*transaction.message.account_keys, *writable, *readonly]
        return Ran(None, False, self.fee(transaction), 0, [], [], None, keys, writable, readonly)  # noqa: FBT003

    def _loaded(self, transaction: VersionedTransaction, slot: int | None) -> tuple[list[Pubkey], list[Pubkey]]:
        writable, readonly = list[Pubkey](), list[Pubkey]()
        message = transaction.message
        for lookup in message.address_table_lookups if isinstance(message, MessageV0) else ():
            table = self.account(lookup.account_key, slot)
            data = b"" if table is None else table.data[_LOOKUP_HEADER:]
            for into, places in ((writable, lookup.writable_indexes), (readonly, lookup.readonly_indexes)):
                chosen = (data[place * _KEY_BYTES : (place + 1) * _KEY_BYTES] for place in places)
                into.extend(Pubkey(key) for key in chosen if len(key) == _KEY_BYTES)
        return writable, readonly

    def _take(self, payer: Pubkey, paying: Account | None, fee: int, priority: int) -> bool:
        """LiteSVM takes no priority fee: it goes before, so that nothing else can spend it."""
        if paying is None or paying.lamports < fee:
            return False
        self._vm.set_account(payer, _with_lamports(paying, paying.lamports - priority))
        return True

    def _tell(self, ran: Ran, result: Any) -> None:
        failed = isinstance(result, FailedTransactionMetadata)
        ran.error = json.loads(result.to_json())["err"] if failed else None
        meta: Any = result if isinstance(result, TransactionMetadata) else result.meta()
        ran.units, ran.logs = meta.compute_units_consumed(), meta.logs()
        returned = meta.return_data()
        ran.return_data = (str(returned.program_id), bytes(returned.data)) if returned.data else None
        ran.inner = [(place, [_inner(one) for one in calls]) for place, calls in enumerate(meta.inner_instructions()) if calls]

    @contextmanager
    def _as_of(self, slot: int, keys: Sequence[Pubkey]) -> Generator[None]:
        now = {key: self.account(key) for key in keys if key in self._versions or key == keys[0]}
        try:
            for key in now:
                self._vm.set_account(key, self.account(key, slot) or Account(0, b"", NOBODY))
            yield
        finally:
            for key, account in now.items():
                self._vm.set_account(key, account or Account(0, b"", NOBODY))

    def _set_clock(self, slot: int, unix_time: int) -> None:
        if slot != self._slot:
            self._vm.set_clock(Clock(slot, 0, 0, 0, unix_time))
            self._slot = slot


def _budget(transaction: VersionedTransaction) -> tuple[int, int]:
    """Compute units that are asked for, and micro-lamports offered for each."""
    limit, price, others = None, 0, 0
    keys = transaction.message.account_keys
    for one in transaction.message.instructions:
        if one.program_id_index >= len(keys) or keys[one.program_id_index] != COMPUTE_BUDGET:
            others += 1
        elif one.data[:1] == bytes([_SET_LIMIT]):
            limit = int.from_bytes(one.data[1:5], "little")
        elif one.data[:1] == bytes([_SET_PRICE]):
            price = int.from_bytes(one.data[1:9], "little")
    return min(LAST_UNITS, others * _UNITS_AN_INSTRUCTION if limit is None else limit), price


def is_token_account(account: Account) -> bool:
    """Is it an initialized token account of one of the two programs?"""
    data = account.data
    if account.owner not in TOKEN_PROGRAMS or len(data) < _TOKEN_BYTES or data[_TOKEN_STATE] == 0:
        return False
    return len(data) == _TOKEN_BYTES or data[_ACCOUNT_TYPE] == _IS_TOKEN_ACCOUNT


def frozen(address: Pubkey, account: Account | None) -> StoredAccount:
    """An account as it is stored."""
    if account is None:
        return StoredAccount(bytes(address), 0, bytes(NOBODY), b"", False, 0)  # noqa: FBT003
    return StoredAccount(
        bytes(address), account.lamports, bytes(account.owner), bytes(account.data), account.executable, account.rent_epoch
    )


def thawed(stored: StoredAccount) -> Account | None:
    """A stored account; None if it was gone."""
    if stored.lamports == 0:
        return None
    return Account(stored.lamports, stored.data, Pubkey(stored.owner), stored.executable, stored.rent_epoch)


def _with_lamports(account: Account, lamports: int) -> Account:
    return Account(lamports, account.data, account.owner, account.executable, account.rent_epoch)


def _rent_error(place: int) -> dict[str, Any]:
    return {"InsufficientFundsForRent": {"account_index": place}}


def _lamports(account: Account | None) -> int:
    return 0 if account is None else account.lamports


def _inner(told: Any) -> Inner:
    one = told.instruction()
    return Inner(one.program_id_index, bytes(one.accounts), bytes(one.data), told.stack_height())
