"""One local Solana in one folder: opened, replayed, asked, given transactions. JSON is `methods.py`'s matter."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

from solders.account import Account
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from guerdon.chains.anvil_process import LocalChainError
from guerdon.chains.localsolana import memos
from guerdon.chains.localsolana.bank import NOBODY, Bank, Ran, frozen, thawed
from guerdon.chains.localsolana.history import Entry, History
from guerdon.chains.localsolana.journal import Journal
from guerdon.chains.localsolana.records import Accounts, Anchor, Genesis, Landed, Pruned, Record, StoredAccount
from guerdon.chains.localsolana.slots import FINALIZED_LAG, FIRST_SLOT, MAX_AGE, Slots, unix_ms
from guerdon.chains.networks import LOCAL_SOLANA_REFERENCE
from guerdon.chains.solana.base58 import ALPHABET
from guerdon.chains.solana.programs import NATIVE_MINT, TOKEN

FAUCET_LAMPORTS: Final = 500_000_000 * 10**9
_OWN_CHARACTERS: Final = 12
_ACCOUNTS_A_RECORD: Final = 5_000
_SLOT_MS: Final = 400
_MINT_RENT: Final = 1_461_600
_NATIVE_DATA: Final = bytes(44) + b"\x09\x01" + bytes(36)
"""A mint without authorities and supply, of 9 decimals: that of native SOL, which every cluster has."""

_Window = deque[tuple[int, StoredAccount | None, StoredAccount]]
"""Slot, account before, account after; oldest first."""


class LocalSolana:
    """The chain. Use it from one thread; `close` it at the end."""

    def __init__(
        self, folder: Path, *, slot_ms: int = _SLOT_MS, history: int = 200_000, now_ms: Callable[[], int] = unix_ms
    ) -> None:
        """Go on with the folder's chain, or begin one. Of its transactions the newest `history` are kept.

        Raises `LocalChainError`.
        """
        self._journal = Journal(folder)
        try:
            self._bank = Bank()
            self._history = History(history)
            self._limit = history
            self.is_broken = False
            """It could not write, and has to be opened anew."""
            self._landed = 0
            self._now_ms = now_ms
            self._genesis, anchors, window = self._replay()
            self.slots = Slots(self._genesis.genesis_hash, anchors, now_ms)
            if (newest := self._history.newest()) is not None:
                self.slots.raise_to(newest.slot)
            if self.slots.anchor.slot_ms != slot_ms:
                self._journal.append(self.slots.moved(0, slot_ms))
            self._remember(window)
            if self._landed > 2 * history:
                self._shorten()
            self._journal.sync_now()
        except BaseException:
            self._journal.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder. Nothing is lost without it."""
        self._journal.close()

    @property
    def genesis_hash(self) -> str:
        """Which chain this is; each has its own."""
        return self._genesis.genesis_hash

    @property
    def faucet(self) -> Keypair:
        """Who has all lamports in the beginning."""
        return Keypair.from_seed(self._genesis.faucet_key)

    @property
    def history(self) -> History:
        """The transactions that there were."""
        return self._history

    def landed(self, entry: Entry) -> Landed:
        """All of a transaction."""
        record = self._journal.read(entry.place)
        if not isinstance(record, Landed):
            raise TypeError("no transaction is at this place")
        return record

    def account(self, address: Pubkey, slot: int) -> Account | None:
        """An account at the end of a slot that is the finalized one or newer."""
        self._bank.forget(self.slots.at("finalized"))
        return self._bank.account(address, slot)

    def rent(self, size: int) -> int:
        """The lamports that an account of a size needs to stay."""
        return self._bank.rent(size)

    def fee(self, transaction: VersionedTransaction) -> int:
        """What a transaction would pay, in lamports."""
        return self._bank.fee(transaction)

    def why_not(self, transaction: VersionedTransaction, slot: int, *, check_blockhash: bool = True) -> str | None:
        """Why a transaction can't be in a block at the head, seen from a slot: an old or unknown blockhash, a repeat."""
        if self._history.by_signature(bytes(transaction.signatures[0])) is not None:
            return "AlreadyProcessed"
        if not check_blockhash:
            return None
        made = self.slots.slot_of(str(transaction.message.recent_blockhash))
        return "BlockhashNotFound" if made is None or not slot - MAX_AGE <= made <= slot else None

    def simulate(self, transaction: VersionedTransaction, slot: int, *, verify: bool) -> Ran:
        """What a transaction would do on the accounts of a slot."""
        self._bank.forget(self.slots.at("finalized"))
        return self._bank.simulate(transaction, slot, self.slots.time_of(slot), verify=verify)

    def take(self, transaction: VersionedTransaction) -> Any:
        """Put a transaction into the block of the head, if it may be there; else why it was dropped.

        It survives a kill from now on, and a power cut once `durable` has returned.
        """
        slot = self.slots.head()
        dropped = self.why_not(transaction, slot)
        if dropped is not None:
            return dropped
        self._bank.forget(self.slots.at("finalized"))
        time = self.slots.time_of(slot)
        ran = self._bank.run(transaction, slot, time)
        if not ran.charged:
            return ran.error
        record = self._record(transaction, ran, slot, time)
        try:
            place = self._journal.append(record)
        except OSError:
            # The accounts say more than the journal from here on: only a new start puts that right.
            self.is_broken = True
            raise
        self._index(record, place)
        if self._landed > 2 * self._limit:
            self._shorten()
        return None

    async def durable(self) -> None:
        """Return once everything that was taken is on disk."""
        try:
            await self._journal.sync()
        except OSError:
            self.is_broken = True
            raise

    def airdrop(self, to: Pubkey, lamports: int) -> VersionedTransaction:
        """A transfer of the faucet's, which is unlike any other."""
        faucet = self.faucet
        sent = transfer(TransferParams(from_pubkey=faucet.pubkey(), to_pubkey=to, lamports=lamports))
        blockhash = self.slots.blockhash(self.slots.head())
        note = memos.memo(secrets.token_hex(8))
        return VersionedTransaction(MessageV0.try_compile(faucet.pubkey(), [sent, note], [], blockhash), [faucet])

    def advance(self, slots: int) -> None:
        """Let so many slots pass at once; for tests and demonstrations."""
        self._journal.append(self.slots.moved(slots))

    # ---- opening --------------------------------------------------------------------------------------------------

    def _replay(self) -> tuple[Genesis, list[Anchor], _Window]:
        genesis: Genesis | None = None
        anchors: list[Anchor] = []
        accounts: dict[bytes, StoredAccount] = {}
        window: _Window = deque()
        for place, record in self._journal.records():
            if isinstance(record, Genesis):
                genesis = record
            elif isinstance(record, Anchor):
                anchors.append(record)
            elif isinstance(record, Pruned):
                self._history.skip(record.transactions, record.first_slot)
            elif isinstance(record, Accounts):
                accounts.update({one.address: one for one in record.accounts})
            else:
                window.extend((record.slot, accounts.get(one.address), one) for one in record.written)
                while window[0][0] < record.slot - FINALIZED_LAG:
                    window.popleft()
                accounts.update({one.address: one for one in record.written})
                self._index(record, place)
        if genesis is None or not anchors:
            if accounts:
                raise LocalChainError("the journal has no beginning", "give it back from a copy")
            genesis, anchor = self._begin()
            anchors = [anchor]
        for one in _first_accounts(genesis):
            accounts.setdefault(one.address, one)
        self._bank.restore(accounts.values())
        return genesis, anchors, window

    def _begin(self) -> tuple[Genesis, Anchor]:
        own = "".join(secrets.choice(ALPHABET) for _ in range(_OWN_CHARACTERS))
        genesis = Genesis(LOCAL_SOLANA_REFERENCE + own, secrets.token_bytes(32), FAUCET_LAMPORTS)
        anchor = Anchor(FIRST_SLOT, self._now_ms(), _SLOT_MS)
        self._journal.append(genesis)
        self._journal.append(anchor)
        return genesis, anchor

    def _remember(self, window: _Window) -> None:
        """What accounts were at the slots that are not final yet."""
        finalized = self.slots.at("finalized")
        for slot, before, after in window:
            if slot > finalized:
                self._bank.note(slot, Pubkey(after.address), None if before is None else thawed(before), thawed(after))

    # ---- writing --------------------------------------------------------------------------------------------------

    def _record(self, transaction: VersionedTransaction, ran: Ran, slot: int, time: int) -> Landed:
        return Landed(
            slot=slot,
            time=time,
            raw=bytes(transaction),
            error=ran.error,
            fee=ran.fee,
            units=ran.units,
            logs=ran.logs,
            inner=ran.inner,
            return_data=ran.return_data,
            before=[0 if one is None else one.lamports for one in ran.before],
            after=[0 if one is None else one.lamports for one in ran.after],
            tokens_before=self._bank.tokens(ran.keys, ran.before),
            tokens_after=self._bank.tokens(ran.keys, ran.after),
            loaded_writable=[str(key) for key in ran.loaded_writable],
            loaded_readonly=[str(key) for key in ran.loaded_readonly],
            written=[frozen(key, after) for key, _, after in ran.changes()],
        )

    def _index(self, record: Landed, place: int) -> None:
        transaction = VersionedTransaction.from_bytes(record.raw)
        keys = [bytes(key) for key in transaction.message.account_keys]
        keys += [bytes(Pubkey.from_string(key)) for key in (*record.loaded_writable, *record.loaded_readonly)]
        entry = Entry(
            number=self._history.count,
            slot=record.slot,
            time=record.time,
            signature=bytes(transaction.signatures[0]),
            place=place,
            error=record.error,
            memo=memos.listed(transaction),
            price=self._bank.price(transaction),
        )
        self._history.add(entry, iter(keys))
        self._landed += 1

    def _shorten(self) -> None:
        """Write a journal that begins with the accounts and the newest transactions."""
        kept = list(self._history.all())
        places = self._journal.replace(self._shortened(kept[0].place, len(kept)))
        moved = iter(places[-len(kept) :])
        self._history.move(moved)
        self._landed = len(kept)

    def _shortened(self, first_place: int, kept: int) -> Iterator[Record]:
        accounts = {one.address: one for one in _first_accounts(self._genesis)}
        begun = False
        for place, record in self._journal.records():
            if place < first_place:
                if isinstance(record, Accounts | Landed):
                    written = record.accounts if isinstance(record, Accounts) else record.written
                    accounts.update({one.address: one for one in written})
                continue
            if not begun:
                begun = True
                yield from self._beginning(accounts, kept)
            if isinstance(record, Landed):
                yield record

    def _beginning(self, accounts: dict[bytes, StoredAccount], kept: int) -> Iterator[Record]:
        yield self._genesis
        yield self.slots.anchor
        yield Pruned(self._history.count - kept, self._history.first_slot)
        standing = [one for one in accounts.values() if one.lamports]
        for start in range(0, len(standing), _ACCOUNTS_A_RECORD):
            yield Accounts(standing[start : start + _ACCOUNTS_A_RECORD])


def _first_accounts(genesis: Genesis) -> list[StoredAccount]:
    faucet = Keypair.from_seed(genesis.faucet_key).pubkey()
    native = Pubkey.from_string(NATIVE_MINT)
    return [
        frozen(faucet, Account(genesis.faucet_lamports, b"", NOBODY)),
        frozen(native, Account(_MINT_RENT, _NATIVE_DATA, Pubkey.from_string(TOKEN))),
    ]
