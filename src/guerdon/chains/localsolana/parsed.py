"""`jsonParsed`: accounts and instructions of the token programs, memos, and transfers of lamports in readable form.

Whatever is not known here is shown partly decoded or in base64, as nodes do with programs that they don't know.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from solders.account import Account
from solders.pubkey import Pubkey

from guerdon.chains.localsolana.bank import TOKEN_PROGRAMS, is_token_account
from guerdon.chains.solana.base58 import base58

_SYSTEM: Final = "11111111111111111111111111111111"
_MEMOS: Final = ("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")
_ATA: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
_TOKENS: Final = {str(TOKEN_PROGRAMS[0]): "spl-token", str(TOKEN_PROGRAMS[1]): "spl-token-2022"}
_MINT_BYTES: Final = 82
_TOKEN_BYTES: Final = 165
_STATES: Final = {1: "initialized", 2: "frozen"}


def ui_amount(amount: int, decimals: int) -> dict[str, Any]:
    """An amount of a token in all the forms that nodes give it in."""
    exact = Decimal(amount).scaleb(-decimals)
    shown = format(exact, "f")
    if "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return {"amount": str(amount), "decimals": decimals, "uiAmount": float(exact) if amount else None, "uiAmountString": shown}


def account(found: Account, decimals: Any) -> dict[str, Any] | None:
    """An account of the token programs without extensions; None: there is no parser for it."""
    data, program = bytes(found.data), str(found.owner)
    if is_token_account(found) and len(data) == _TOKEN_BYTES:
        info = _token_account(data, decimals(Pubkey(data[:32])))
        return {"program": _TOKENS[program], "parsed": {"info": info, "type": "account"}, "space": len(data)}
    if program in _TOKENS and len(data) == _MINT_BYTES and data[45]:
        info = {
            "mintAuthority": _optional(data[:36]),
            "supply": str(int.from_bytes(data[36:44], "little")),
            "decimals": data[44],
            "isInitialized": True,
            "freezeAuthority": _optional(data[46:82]),
        }
        return {"program": _TOKENS[program], "parsed": {"info": info, "type": "mint"}, "space": len(data)}
    return None


def _token_account(data: bytes, decimals: int | None) -> dict[str, Any]:
    places = decimals or 0
    info: dict[str, Any] = {
        "mint": base58(data[:32]),
        "owner": base58(data[32:64]),
        "tokenAmount": ui_amount(int.from_bytes(data[64:72], "little"), places),
        "state": _STATES.get(data[108], "uninitialized"),
        "isNative": data[109] == 1,
    }
    if (delegate := _optional(data[72:108])) is not None:
        info["delegate"] = delegate
        info["delegatedAmount"] = ui_amount(int.from_bytes(data[121:129], "little"), places)
    if data[109] == 1:
        info["rentExemptReserve"] = ui_amount(int.from_bytes(data[113:121], "little"), places)
    if (authority := _optional(data[129:165])) is not None:
        info["closeAuthority"] = authority
    return info


def _optional(data: bytes) -> str | None:
    return base58(data[4:36]) if data[0] == 1 else None


def instruction(keys: list[str], program: int, accounts: bytes, data: bytes, *, stack_height: int) -> dict[str, Any]:
    """An instruction, parsed where its program is known."""
    program_id, named = keys[program], [keys[place] for place in accounts]
    name, found = _parse(program_id, named, data)
    if found is not None:
        return {"program": name, "programId": program_id, "parsed": found, "stackHeight": stack_height}
    return {"programId": program_id, "accounts": named, "data": base58(data), "stackHeight": stack_height}


def _parse(program: str, accounts: list[str], data: bytes) -> tuple[str, Any]:
    if program in _MEMOS:
        return "spl-memo", data.decode(errors="replace")
    if program in _TOKENS and data:
        return "spl-token", _token_instruction(accounts, data)
    if program == _ATA and len(accounts) >= 6:  # noqa: PLR2004 - its accounts
        names = ("source", "account", "wallet", "mint", "systemProgram", "tokenProgram")
        kind = "createIdempotent" if data[:1] == b"\x01" else "create"
        return "spl-associated-token-account", {"type": kind, "info": dict(zip(names, accounts, strict=False))}
    if program == _SYSTEM and data[:4] == b"\x02\0\0\0" and len(data) == 12:  # noqa: PLR2004 - number and lamports
        info = {"source": accounts[0], "destination": accounts[1], "lamports": int.from_bytes(data[4:12], "little")}
        return "system", {"type": "transfer", "info": info}
    return "", None


def _token_instruction(accounts: list[str], data: bytes) -> dict[str, Any] | None:
    amount = str(int.from_bytes(data[1:9], "little"))
    if data[0] == 3 and len(accounts) >= 3:  # noqa: PLR2004 - Transfer
        info: dict[str, Any] = {"source": accounts[0], "destination": accounts[1], "amount": amount}
        return {"type": "transfer", "info": {**info, **_signed("authority", accounts[2:])}}
    checked = {12: ("transferChecked", ("source", "mint", "destination"), "authority"),
               14: ("mintToChecked", ("mint", "account"), "mintAuthority")}.get(data[0])  # fmt: skip
    if checked is not None and len(data) == 10 and len(accounts) > len(checked[1]):  # noqa: PLR2004 - amount, decimals
        kind, names, authority = checked
        info = {**dict(zip(names, accounts, strict=False)), "tokenAmount": ui_amount(int(amount), data[9])}
        return {"type": kind, "info": {**info, **_signed(authority, accounts[len(names) :])}}
    if data[0] == 7 and len(accounts) >= 3:  # noqa: PLR2004 - MintTo
        info = {"mint": accounts[0], "account": accounts[1], "amount": amount}
        return {"type": "mintTo", "info": {**info, **_signed("mintAuthority", accounts[2:])}}
    if data[0] == 9 and len(accounts) >= 3:  # noqa: PLR2004 - CloseAccount
        info = {"account": accounts[0], "destination": accounts[1]}
        return {"type": "closeAccount", "info": {**info, **_signed("owner", accounts[2:])}}
    return None


def _signed(name: str, accounts: list[str]) -> dict[str, Any]:
    if len(accounts) == 1:
        return {name: accounts[0]}
    return {f"multisig{name[0].upper()}{name[1:]}": accounts[0], "signers": accounts[1:]}
