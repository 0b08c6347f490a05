"""Memo instructions, and how lists of signatures show them."""

from __future__ import annotations

from typing import Final

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

MEMO: Final = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
MEMO_V1: Final = Pubkey.from_string("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")


def memo(text: str) -> Instruction:
    """An instruction that only says something."""
    return Instruction(MEMO, text.encode(), [])


def listed(transaction: VersionedTransaction) -> str | None:
    """The memos of a transaction as `getSignaturesForAddress` shows them: `[length] text`, several with `; ` between."""
    keys = transaction.message.account_keys
    texts = [
        bytes(one.data)
        for one in transaction.message.instructions
        if one.program_id_index < len(keys) and keys[one.program_id_index] in {MEMO, MEMO_V1}
    ]
    return "; ".join(f"[{len(text)}] {text.decode(errors='replace')}" for text in texts) or None
