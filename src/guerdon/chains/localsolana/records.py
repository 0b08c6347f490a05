"""What is written in the journal. What a transaction did is stored with it, so that a replay runs nothing again."""

from __future__ import annotations

from typing import Any

import msgspec


class Genesis(msgspec.Struct, frozen=True, array_like=True, tag="genesis"):
    """The first record: which chain this is, and who has its coins."""

    genesis_hash: str
    faucet_key: bytes
    """32 bytes; it holds all lamports in the beginning."""
    faucet_lamports: int


class Anchor(msgspec.Struct, frozen=True, array_like=True, tag="anchor"):
    """From here on slots are counted: slot `slot` began at `at_ms` (Unix time), and each takes `slot_ms`."""

    slot: int
    at_ms: int
    slot_ms: int


class StoredAccount(msgspec.Struct, frozen=True, array_like=True):
    """An account after a transaction; without lamports it is gone."""

    address: bytes
    lamports: int
    owner: bytes
    data: bytes
    executable: bool
    rent_epoch: int


class Accounts(msgspec.Struct, frozen=True, array_like=True, tag="accounts"):
    """Accounts as they stand; written in place of the transactions that a shorter journal leaves out."""

    accounts: list[StoredAccount]


class Pruned(msgspec.Struct, frozen=True, array_like=True, tag="pruned"):
    """What a shorter journal has left out: the number of transactions, and the first slot that is whole."""

    transactions: int
    first_slot: int


class TokenBalance(msgspec.Struct, frozen=True, array_like=True):
    """What one account of a transaction held of a token."""

    place: int
    """Among the transaction's accounts."""
    mint: str
    owner: str
    program: str
    amount: int
    decimals: int


class Inner(msgspec.Struct, frozen=True, array_like=True):
    """An instruction that another one called."""

    program: int
    """Its place among the transaction's accounts, as are those of `accounts`."""
    accounts: bytes
    data: bytes
    stack_height: int


class Landed(msgspec.Struct, frozen=True, array_like=True, tag="landed"):
    """A transaction that is in the chain, and everything that is ever told of it."""

    slot: int
    time: int
    """Of its block, in Unix seconds."""
    raw: bytes
    error: Any
    """As Solana writes a `TransactionError`; None: it succeeded."""
    fee: int
    units: int
    logs: list[str]
    inner: list[tuple[int, list[Inner]]]
    """By the outer instruction that called them."""
    return_data: tuple[str, bytes] | None
    before: list[int]
    """Lamports of its accounts."""
    after: list[int]
    tokens_before: list[TokenBalance]
    tokens_after: list[TokenBalance]
    loaded_writable: list[str]
    loaded_readonly: list[str]
    written: list[StoredAccount]


Record = Genesis | Anchor | Accounts | Pruned | Landed
