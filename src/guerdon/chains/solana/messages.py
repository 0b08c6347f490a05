"""Transactions with one signer: kept, measured, simulated, signed. Pure; keeps no key.

What a transaction is to do is kept as `pack` makes it: instructions without compute budget, marker, blockhash and signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import Transaction, VersionedTransaction

LARGEST_TRANSACTION: Final = 1_232
"""Bytes of a transaction with its signatures."""
MOST_UNITS: Final = 1_400_000
SIGNATURE_FEE: Final = 5_000
"""Lamports for a signature, whether the transaction succeeds or not."""
_MICRO: Final = 1_000_000


def pack(payer: str, instructions: Sequence[Instruction]) -> bytes:
    """Instructions as they are kept."""
    return bytes(Message(list(instructions), Pubkey.from_string(payer)))


def unpack(packed: bytes) -> list[Instruction]:
    """What `pack` was given. Raises `ValueError`."""
    message = Message.from_bytes(packed)
    keys, header = message.account_keys, message.header
    signed = header.num_required_signatures
    metas = [
        AccountMeta(
            key,
            is_signer=place < signed,
            is_writable=place < signed - header.num_readonly_signed_accounts
            or signed <= place < len(keys) - header.num_readonly_unsigned_accounts,
        )
        for place, key in enumerate(keys)
    ]
    return [
        Instruction(keys[one.program_id_index], bytes(one.data), [metas[place] for place in one.accounts])
        for one in message.instructions
    ]


def compose(payer: str, instructions: Sequence[Instruction], *, units: int, unit_price: int, blockhash: str | None) -> bytes:
    """The message that is signed: the two instructions of the compute budget, `unit_price` in micro-lamports, then these."""
    budget = [set_compute_unit_limit(units), set_compute_unit_price(unit_price)]
    made_of = Hash.default() if blockhash is None else Hash.from_string(blockhash)
    return bytes(Message.new_with_blockhash([*budget, *instructions], Pubkey.from_string(payer), made_of))


def complete(message: bytes, signature: bytes | None) -> bytes:
    """The bytes that are sent; without a signature they are for a simulation."""
    signed = Signature.default() if signature is None else Signature.from_bytes(signature)
    return bytes(Transaction.populate(Message.from_bytes(message), [signed]))


def signature_of(raw: bytes) -> str:
    """The signature that signed bytes are known by. Raises `ValueError`."""
    return str(VersionedTransaction.from_bytes(raw).signatures[0])


def size_of(payer: str, instructions: Sequence[Instruction]) -> int:
    """How many bytes the signed transaction would have."""
    return len(complete(compose(payer, instructions, units=MOST_UNITS, unit_price=0, blockhash=None), None))


def fee_of(units: int, unit_price: int) -> int:
    """What a transaction costs its payer, in lamports: for its signature, and the units it asks for at their price."""
    return SIGNATURE_FEE - (-units * unit_price // _MICRO)
