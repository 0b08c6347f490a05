"""Which tokens a transaction moved: read from what the chain has of it, and from nothing that anybody claims.

A transaction that failed moved nothing. Each transfer has a place among the transaction's instructions that never changes
(SAFETY S34); p-token's `batch`, one instruction with many transfers in it, is unfolded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from solders.message import MessageV0
from solders.transaction import VersionedTransaction

from guerdon.chains.solana import answers
from guerdon.chains.solana.base58 import from_base58
from guerdon.chains.solana.programs import MEMO_PROGRAMS, TOKEN_PROGRAMS
from guerdon.chains.solana.values import TransactionFault

_TRANSFER: Final = 3
_TRANSFER_CHECKED: Final = 12
_TRANSFER_FEE: Final = 26
_CHECKED_WITH_FEE: Final = 1
_BATCH: Final = 255
_PLAIN_BYTES: Final = 9
_CHECKED_BYTES: Final = 10
_FEE_BYTES: Final = 19
_INNER_PLACES: Final = 1 << 16
_PART_PLACES: Final = 1 << 32


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a transaction an instruction is."""

    outer: int
    """Among its own instructions, from 0."""
    inner: int = -1
    """Among those that the outer one called; -1: it is the outer one itself."""
    part: int = -1
    """Within a `batch`; -1: it is none."""

    @property
    def number(self) -> int:
        """One whole number for it, unlike any other of the transaction."""
        return (self.part + 1) * _PART_PLACES + self.outer * _INNER_PLACES + self.inner + 1


@dataclass(frozen=True, slots=True)
class ChainInstruction:
    """An instruction as it ran."""

    place: Place
    program: str
    accounts: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Holding:
    """A token account of a transaction, before and after it."""

    mint: str
    program: str
    decimals: int
    owner_before: str | None
    """None: it did not exist."""
    owner_after: str | None
    before: int
    after: int

    @property
    def owner(self) -> str | None:
        """Whose it was all the time; None if it changed hands on the way, so that nobody can tell."""
        if self.owner_before is None or self.owner_after is None:
            return self.owner_before or self.owner_after
        return self.owner_before if self.owner_before == self.owner_after else None


@dataclass(frozen=True, slots=True)
class ChainTransaction:
    """A transaction that is in the chain."""

    signature: str
    slot: int
    block_time: int | None
    """In Unix seconds."""
    error: TransactionFault | None
    fee_payer: str
    fee: int
    """Lamports."""
    units: int
    signers: tuple[str, ...]
    blockhash: str
    accounts: tuple[str, ...]
    lamports_before: tuple[int, ...]
    lamports_after: tuple[int, ...]
    holdings: dict[str, Holding] = field(repr=False)
    """By the token account's address."""
    instructions: tuple[ChainInstruction, ...] = field(repr=False)
    """Its own, each followed by those that it called; a `batch` stands as its parts."""
    raw: bytes = field(repr=False)

    @property
    def succeeded(self) -> bool:
        """Did it do anything but pay its fee?"""
        return self.error is None

    @property
    def spent(self) -> int:
        """Lamports that the fee payer has less after it, with the fee."""
        return self.lamports_before[0] - self.lamports_after[0]

    @property
    def moved(self) -> dict[tuple[str, str], int]:
        """By mint and owner, what was more (or less) of a token after it, in the smallest unit."""
        found = Counter[tuple[str, str]]()
        for one in self.holdings.values():
            for owner, amount in ((one.owner_before, -one.before), (one.owner_after, one.after)):
                if owner is not None:
                    found[one.mint, owner] += amount
        return dict(found)

    @property
    def memos(self) -> tuple[str, ...]:
        """What it says in memos."""
        said = (one.data for one in self.instructions if one.program in MEMO_PROGRAMS)
        return tuple(text.decode(errors="replace") for text in said)


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """A transfer of a token of Token or Token-2022 that happened."""

    place: Place
    program: str
    mint: str
    decimals: int
    source: str
    """A token account, as is `destination`."""
    destination: str
    source_owner: str | None
    """Whose wallet it was; None: nobody can tell, for it changed hands within the transaction."""
    destination_owner: str | None
    authority: str
    """Who signed for it: the owner or a delegate."""
    amount_atomic: int
    """What left the source. With `fee_atomic` so much less arrived."""
    fee_atomic: int | None
    """A Token-2022 transfer fee that the instruction names; None: it names none, though the mint may take one."""
    is_checked: bool
    """It names mint and decimals (TransferChecked)."""


def token_transfers(transaction: ChainTransaction) -> tuple[TokenTransfer, ...]:
    """What a transaction moved, in the order of its instructions; nothing if it failed.

    A transfer between accounts that the node tells nothing of (both ends gone within the transaction) is left out: it can't be
    told what it moved.
    """
    if not transaction.succeeded:
        return ()
    found = (_transfer(transaction, one) for one in transaction.instructions if one.program in TOKEN_PROGRAMS)
    return tuple(one for one in found if one is not None)


def _transfer(transaction: ChainTransaction, one: ChainInstruction) -> TokenTransfer | None:
    data, accounts, fee = one.data, one.accounts, None
    if data[:1] == bytes([_TRANSFER]) and len(data) >= _PLAIN_BYTES and len(accounts) >= 3:  # noqa: PLR2004 - source, destination, authority
        (source, destination, authority), named, amount = accounts[:3], None, data[1:9]
    elif data[:1] == bytes([_TRANSFER_CHECKED]) and len(data) >= _CHECKED_BYTES and len(accounts) >= 4:  # noqa: PLR2004 - with the mint
        (source, named, destination, authority), amount = accounts[:4], data[1:9]
    elif data[:2] == bytes([_TRANSFER_FEE, _CHECKED_WITH_FEE]) and len(data) >= _FEE_BYTES and len(accounts) >= 4:  # noqa: PLR2004 - the same
        (source, named, destination, authority), amount = accounts[:4], data[2:10]
        fee = int.from_bytes(data[11:19], "little")
    else:
        return None
    left, arrived = transaction.holdings.get(source), transaction.holdings.get(destination)
    known = left or arrived
    if known is None or (named is not None and named != known.mint):
        return None
    return TokenTransfer(
        place=one.place,
        program=one.program,
        mint=known.mint,
        decimals=known.decimals,
        source=source,
        destination=destination,
        source_owner=None if left is None else left.owner,
        destination_owner=None if arrived is None else arrived.owner,
        authority=authority,
        amount_atomic=int.from_bytes(amount, "little"),
        fee_atomic=fee,
        is_checked=named is not None,
    )


# ---- reading -------------------------------------------------------------------------------------------------------


def read_transaction(signature: str, told: Any) -> ChainTransaction:
    """A transaction from a node's answer in base64. Raises `BadAnswerError` for anything that does not hold together, and for a
    node that kept no token balances or inner instructions: it can't tell what was moved.
    """
    found = answers.mapping(told, "a transaction")
    meta = answers.mapping(found.get("meta"), "a transaction's outcome")
    if "err" not in meta:
        raise answers.unfit("a transaction's outcome", meta)
    raw = answers.in_base64(found.get("transaction"), "a transaction")
    transaction = _decoded(raw)
    if not transaction.signatures or str(transaction.signatures[0]) != signature or not all(transaction.verify_with_results()):
        raise answers.unfit(f"transaction {signature}", "another one")
    message = transaction.message
    accounts = (*(str(key) for key in message.account_keys), *_loaded(message, meta))
    before, after = (
        tuple(answers.whole(one, "a balance") for one in answers.sequence(meta.get(name), "balances", len(accounts)))
        for name in ("preBalances", "postBalances")
    )
    time = found.get("blockTime")
    return ChainTransaction(
        signature=signature,
        slot=answers.whole(found.get("slot"), "a transaction's slot"),
        block_time=None if time is None else answers.whole(time, "a block's time"),
        error=meta["err"],
        fee_payer=accounts[0],
        fee=answers.whole(meta.get("fee"), "a fee"),
        units=answers.whole(meta.get("computeUnitsConsumed") or 0, "compute units"),
        signers=accounts[: message.header.num_required_signatures],
        blockhash=str(message.recent_blockhash),
        accounts=accounts,
        lamports_before=before,
        lamports_after=after,
        holdings=_holdings(accounts, meta),
        instructions=tuple(_instructions(message.instructions, accounts, meta)),
        raw=raw,
    )


def _decoded(raw: bytes) -> VersionedTransaction:
    try:
        return VersionedTransaction.from_bytes(raw)
    except ValueError:
        raise answers.unfit("a transaction", "other bytes") from None


def _loaded(message: Any, meta: dict[str, Any]) -> tuple[str, ...]:
    lookups = message.address_table_lookups if isinstance(message, MessageV0) else []
    writable = sum(len(one.writable_indexes) for one in lookups)
    readonly = sum(len(one.readonly_indexes) for one in lookups)
    if not writable and not readonly:
        return ()
    told = answers.mapping(meta.get("loadedAddresses"), "loaded addresses")
    keys = (
        *answers.sequence(told.get("writable"), "loaded addresses", writable),
        *answers.sequence(told.get("readonly"), "loaded addresses", readonly),
    )
    return tuple(answers.address(key, "a loaded address") for key in keys)


def _holdings(accounts: tuple[str, ...], meta: dict[str, Any]) -> dict[str, Holding]:
    ends: list[dict[str, dict[str, Any]]] = []
    for name in ("preTokenBalances", "postTokenBalances"):
        told = [answers.mapping(one, "a token balance") for one in answers.sequence(meta.get(name), "token balances")]
        ends.append({_at(accounts, one.get("accountIndex")): one for one in told})
    before, after = ends
    found = {key: _holding(before.get(key), after.get(key)) for key in dict.fromkeys([*before, *after])}
    return {key: holding for key, holding in found.items() if holding is not None}


def _holding(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Holding | None:
    told = [one for one in (before, after) if one is not None]
    mints = {answers.address(one.get("mint"), "a mint") for one in told}
    programs = {answers.address(one.get("programId"), "a token program") for one in told}
    decimals = {answers.whole(_amount(one).get("decimals"), "decimals") for one in told}
    if len(mints) != 1 or len(programs) != 1 or len(decimals) != 1:
        # Closed and made anew for another mint, within one transaction: no one thing can be said of it.
        return None
    return Holding(
        mint=mints.pop(),
        program=programs.pop(),
        decimals=decimals.pop(),
        owner_before=None if before is None else answers.address(before.get("owner"), "an owner"),
        owner_after=None if after is None else answers.address(after.get("owner"), "an owner"),
        before=0 if before is None else _atomic(before),
        after=0 if after is None else _atomic(after),
    )


def _amount(told: dict[str, Any]) -> dict[str, Any]:
    return answers.mapping(told.get("uiTokenAmount"), "an amount of tokens")


def _atomic(told: dict[str, Any]) -> int:
    digits = answers.text(_amount(told).get("amount"), "an amount of tokens")
    if not digits.isascii() or not digits.isdecimal():
        raise answers.unfit("an amount of tokens", digits)
    return answers.whole(int(digits), "an amount of tokens")


def _instructions(outer: Any, accounts: tuple[str, ...], meta: dict[str, Any]) -> Iterator[ChainInstruction]:
    inner: dict[int, list[Any]] = {}
    for one in answers.sequence(meta.get("innerInstructions"), "inner instructions"):
        group = answers.mapping(one, "inner instructions")
        place = answers.whole(group.get("index"), "an instruction's place")
        inner[place] = answers.sequence(group.get("instructions"), "inner instructions")
    for place, one in enumerate(outer):
        called = tuple(_at(accounts, number) for number in bytes(one.accounts))
        yield from _unfolded(Place(place), _at(accounts, one.program_id_index), called, bytes(one.data))
        for number, told in enumerate(inner.get(place, ())):
            found = answers.mapping(told, "an inner instruction")
            named = answers.sequence(found.get("accounts"), "an inner instruction's accounts")
            data = from_base58(answers.text(found.get("data"), "an inner instruction's data"))
            if data is None:
                raise answers.unfit("an inner instruction's data", found.get("data"))
            program = _at(accounts, found.get("programIdIndex"))
            yield from _unfolded(Place(place, number), program, tuple(_at(accounts, one) for one in named), data)


def _unfolded(place: Place, program: str, accounts: tuple[str, ...], data: bytes) -> Iterator[ChainInstruction]:
    """An instruction, or the parts of a `batch`: for each the number of its accounts, the length of its data, its data."""
    if program not in TOKEN_PROGRAMS or data[:1] != bytes([_BATCH]):
        yield ChainInstruction(place, program, accounts, data)
        return
    ends = [(0, 1)]
    while (at := ends[-1][1]) < len(data):
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data) or ends[-1][0] + data[at] > len(accounts):
            raise answers.unfit("a batch of token instructions", data.hex())
        ends.append((ends[-1][0] + data[at], at + 2 + data[at + 1]))
    for part, ((first, begin), (last, end)) in enumerate(pairwise(ends)):
        yield ChainInstruction(Place(place.outer, place.inner, part), program, accounts[first:last], data[begin + 2 : end])


def _at(accounts: tuple[str, ...], place: Any) -> str:
    number = answers.whole(place, "an account's place")
    if number >= len(accounts):
        raise answers.unfit("an account's place", place)
    return accounts[number]
