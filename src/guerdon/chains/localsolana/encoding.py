"""Accounts and transactions as nodes write them in JSON."""

from __future__ import annotations

import base64
from typing import Any, Final

from solders.account import Account
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from guerdon.chains.localsolana import parsed
from guerdon.chains.localsolana.errors import RpcFaultError, invalid
from guerdon.chains.localsolana.parsed import ui_amount
from guerdon.chains.localsolana.records import Inner, Landed, TokenBalance
from guerdon.chains.solana.base58 import base58, from_base58

_MOST_BASE58: Final = 128
_LEGACY: Final = "legacy"
ACCOUNT_ENCODINGS: Final = ("base58", "base64", "base64+zstd", "jsonParsed")
TRANSACTION_ENCODINGS: Final = ("json", "jsonParsed", "base58", "base64")


def account_json(account: Account | None, encoding: str | None, data_slice: tuple[int, int] | None, decimals: Any) -> Any:
    """An account's value; `decimals` tells those of a mint, for parsed token accounts."""
    if account is None:
        return None
    return {
        "lamports": account.lamports,
        "data": _account_data(account, encoding, data_slice, decimals),
        "owner": str(account.owner),
        "executable": account.executable,
        "rentEpoch": 18446744073709551615,
        "space": len(account.data),
    }


def _account_data(account: Account, encoding: str | None, data_slice: tuple[int, int] | None, decimals: Any) -> Any:
    data = bytes(account.data)
    if encoding == "jsonParsed":
        found = parsed.account(account, decimals)
        if found is not None:
            return found
        encoding = "base64"
    if data_slice is not None:
        offset, length = data_slice
        data = data[offset : offset + length]
    if encoding == "base64":
        return [base64.b64encode(data).decode(), "base64"]
    if encoding == "base64+zstd":
        raise invalid("Invalid params: this node does not compress accounts; ask for base64.")
    if len(data) > _MOST_BASE58:
        raise RpcFaultError(-32600, "Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding.")
    shown = base58(data)
    return shown if encoding is None else [shown, "base58"]


def status_json(error: Any) -> Any:
    """The older form in which an outcome is told, beside `err`."""
    return {"Ok": None} if error is None else {"Err": error}


def transaction_json(record: Landed, encoding: str, most_version: int | None) -> dict[str, Any]:
    """A transaction with its outcome, as `getTransaction` and `getBlock` have it."""
    transaction = VersionedTransaction.from_bytes(record.raw)
    version: Any = _LEGACY if isinstance(transaction.message, Message) else 0
    if version != _LEGACY and most_version is None:
        raise RpcFaultError(
            -32015,
            f"Transaction version ({version}) is not supported by the requesting client. Please try the request again with the "
            f'following configuration parameter: "maxSupportedTransactionVersion": {version}',
        )
    keys = _keys(transaction, record)
    told: dict[str, Any] = {
        "transaction": _transaction(transaction, record, keys, encoding),
        "meta": _meta(record, keys, encoding),
    }
    if most_version is not None:
        told["version"] = version
    return told


def _keys(transaction: VersionedTransaction, record: Landed) -> list[str]:
    return [*(str(key) for key in transaction.message.account_keys), *record.loaded_writable, *record.loaded_readonly]


def _transaction(transaction: VersionedTransaction, record: Landed, keys: list[str], encoding: str) -> Any:
    if encoding == "base64":
        return [base64.b64encode(record.raw).decode(), "base64"]
    if encoding == "base58":
        return [base58(record.raw), "base58"]
    message = transaction.message
    outer = [(one.program_id_index, bytes(one.accounts), bytes(one.data)) for one in message.instructions]
    if encoding == "jsonParsed":
        told: dict[str, Any] = {
            "accountKeys": _parsed_keys(message, record, keys),
            "recentBlockhash": str(message.recent_blockhash),
            "instructions": [parsed.instruction(keys, *one, stack_height=1) for one in outer],
        }
    else:
        header = message.header
        told = {
            "header": {
                "numRequiredSignatures": header.num_required_signatures,
                "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
                "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
            },
            "accountKeys": [str(key) for key in message.account_keys],
            "recentBlockhash": str(message.recent_blockhash),
            "instructions": [_compiled(*one, stack_height=1) for one in outer],
        }
    if isinstance(message, MessageV0):
        told["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    return {"signatures": [str(one) for one in transaction.signatures], "message": told}


def _parsed_keys(message: Message | MessageV0, record: Landed, keys: list[str]) -> list[dict[str, Any]]:
    static = len(message.account_keys)
    header = message.header
    signed = header.num_required_signatures
    writable = [
        place < signed - header.num_readonly_signed_accounts
        or signed <= place < static - header.num_readonly_unsigned_accounts
        or static <= place < static + len(record.loaded_writable)
        for place in range(len(keys))
    ]
    return [
        {
            "pubkey": key,
            "writable": writable[place],
            "signer": place < signed,
            "source": "transaction" if place < static else "lookupTable",
        }
        for place, key in enumerate(keys)
    ]


def _compiled(program: int, accounts: bytes, data: bytes, *, stack_height: int) -> dict[str, Any]:
    return {
        "programIdIndex": program,
        "accounts": list(accounts),
        "data": base58(data),
        "stackHeight": stack_height,
    }


def inner_json(inner: list[tuple[int, list[Inner]]], keys: list[str], encoding: str) -> list[dict[str, Any]]:
    """The instructions that others called, by the outer one."""

    def shown(one: Inner) -> dict[str, Any]:
        if encoding == "jsonParsed":
            return parsed.instruction(keys, one.program, one.accounts, one.data, stack_height=one.stack_height)
        return _compiled(one.program, one.accounts, one.data, stack_height=one.stack_height)

    return [{"index": place, "instructions": [shown(one) for one in calls]} for place, calls in inner]


def _meta(record: Landed, keys: list[str], encoding: str) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "err": record.error,
        "status": status_json(record.error),
        "fee": record.fee,
        "preBalances": record.before,
        "postBalances": record.after,
        "innerInstructions": inner_json(record.inner, keys, encoding),
        "logMessages": record.logs,
        "preTokenBalances": [_token_balance(one) for one in record.tokens_before],
        "postTokenBalances": [_token_balance(one) for one in record.tokens_after],
        "rewards": [],
        "computeUnitsConsumed": record.units,
    }
    if encoding != "jsonParsed":
        meta["loadedAddresses"] = {"writable": record.loaded_writable, "readonly": record.loaded_readonly}
    if record.return_data is not None:
        meta["returnData"] = return_data_json(record.return_data)
    return meta


def return_data_json(found: tuple[str, bytes]) -> dict[str, Any]:
    """What a program returned last."""
    return {"programId": found[0], "data": [base64.b64encode(found[1]).decode(), "base64"]}


def _token_balance(one: TokenBalance) -> dict[str, Any]:
    return {
        "accountIndex": one.place,
        "mint": one.mint,
        "owner": one.owner,
        "programId": one.program,
        "uiTokenAmount": ui_amount(one.amount, one.decimals),
    }


def key_of(value: Any) -> Pubkey:
    """An address among the parameters."""
    if not isinstance(value, str):
        raise invalid(f"Invalid params: invalid type: {type(value).__name__}, expected a string.")
    raw = from_base58(value)
    if raw is None:
        raise invalid("Invalid param: Invalid")
    if len(raw) != Pubkey.LENGTH:
        raise invalid("Invalid param: WrongSize")
    return Pubkey(raw)
