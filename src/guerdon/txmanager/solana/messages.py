"""What is signed for a Solana: the instructions of an intent with compute budget, marker and blockhash around them. Pure.

Only the key signs. An intent keeps its instructions as a message without all that, which `packed` makes and `unpacked` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import AllocateWithSeedParams, TransferParams, allocate_with_seed, transfer
from solders.transaction import Transaction, VersionedTransaction

TOKEN_PROGRAM: Final = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
NATIVE_MINT: Final = Pubkey.from_string("So11111111111111111111111111111111111111112")
MARKER_BYTES: Final = 165
MARKER_RENT: Final = 2_039_280
"""Lamports that a marker needs to stay, and gives back when it is closed."""
PACKET_BYTES: Final = 1_232
"""The largest transaction that the network takes."""
MOST_UNITS: Final = 1_400_000
_INITIALIZE_ACCOUNT_3: Final = 18
_CLOSE_ACCOUNT: Final = 9
_OWNER_AT: Final = slice(32, 64)


def packed(payer: str, instructions: Sequence[Instruction]) -> bytes:
    """Instructions as an intent keeps them."""
    return bytes(Message(list(instructions), Pubkey.from_string(payer)))


def unpacked(data: bytes) -> list[Instruction]:
    """What `packed` was given. Raises `ValueError`."""
    message = Message.from_bytes(data)
    keys = message.account_keys
    return [
        Instruction(
            keys[one.program_id_index],
            bytes(one.data),
            [AccountMeta(keys[at], message.is_signer(at), _is_writable(message, at)) for at in one.accounts],
        )
        for one in message.instructions
    ]


def _is_writable(message: Message, at: int) -> bool:
    header = message.header
    if at < header.num_required_signatures:
        return at < header.num_required_signatures - header.num_readonly_signed_accounts
    return at < len(message.account_keys) - header.num_readonly_unsigned_accounts


def is_address(text: str) -> bool:
    """Is this how a Solana writes an address?"""
    try:
        Pubkey.from_string(text)
    except ValueError:
        return False
    return True


def marker_of(payer: str, intent_id: UUID) -> str:
    """The account that only the transaction of this intent makes."""
    return str(Pubkey.create_with_seed(Pubkey.from_string(payer), intent_id.hex, TOKEN_PROGRAM))


def marking(payer: str, intent_id: UUID) -> list[Instruction]:
    """What makes the marker: a second time fails, and funds that are there already do no harm (SAFETY S18)."""
    base, marker = Pubkey.from_string(payer), Pubkey.from_string(marker_of(payer, intent_id))
    allocated = AllocateWithSeedParams(address=marker, base=base, seed=intent_id.hex, space=MARKER_BYTES, owner=TOKEN_PROGRAM)
    accounts = [
        AccountMeta(marker, is_signer=False, is_writable=True),
        AccountMeta(NATIVE_MINT, is_signer=False, is_writable=False),
    ]
    return [
        transfer(TransferParams(from_pubkey=base, to_pubkey=marker, lamports=MARKER_RENT)),
        allocate_with_seed(allocated),
        Instruction(TOKEN_PROGRAM, bytes([_INITIALIZE_ACCOUNT_3]) + bytes(base), accounts),
    ]


def closing(payer: str, markers: Sequence[str]) -> list[Instruction]:
    """What closes markers and returns their rent."""
    owner = Pubkey.from_string(payer)
    return [
        Instruction(
            TOKEN_PROGRAM,
            bytes([_CLOSE_ACCOUNT]),
            [
                AccountMeta(Pubkey.from_string(marker), is_signer=False, is_writable=True),
                AccountMeta(owner, is_signer=False, is_writable=True),
                AccountMeta(owner, is_signer=True, is_writable=False),
            ],
        )
        for marker in markers
    ]


def is_marker(payer: str, owner: str, data: bytes) -> bool:
    """Is this account a marker of the key? Anybody may put lamports at its address; only the key makes it one."""
    return owner == str(TOKEN_PROGRAM) and len(data) == MARKER_BYTES and data[_OWNER_AT] == bytes(Pubkey.from_string(payer))


def message_of(payer: str, data: bytes, *, marker_for: UUID | None, units: int, unit_price: int, blockhash: str | None) -> bytes:
    """The message that is signed: `unit_price` in micro-lamports for each of `units`."""
    instructions = [set_compute_unit_limit(units), set_compute_unit_price(unit_price)]
    if marker_for is not None:
        instructions += marking(payer, marker_for)
    instructions += unpacked(data)
    made_of = Hash.default() if blockhash is None else Hash.from_string(blockhash)
    return bytes(Message.new_with_blockhash(instructions, Pubkey.from_string(payer), made_of))


def transaction_of(message: bytes, signature: bytes | None) -> bytes:
    """The bytes that are sent; without a signature they are for simulation."""
    signed = Signature.default() if signature is None else Signature.from_bytes(signature)
    return bytes(Transaction.populate(Message.from_bytes(message), [signed]))


def message_in(raw: bytes) -> Message | MessageV0:
    """The message of signed bytes. Raises `ValueError`."""
    return VersionedTransaction.from_bytes(raw).message


def signature_in(raw: bytes) -> str:
    """What signed bytes are known by. Raises `ValueError`."""
    return str(VersionedTransaction.from_bytes(raw).signatures[0])


def size_of(payer: str, data: bytes, *, has_marker: bool) -> int:
    """Bytes of the transaction that an intent's instructions become."""
    marker_for = UUID(int=0) if has_marker else None
    message = message_of(payer, data, marker_for=marker_for, units=MOST_UNITS, unit_price=0, blockhash=None)
    return len(transaction_of(message, None))


def fits(payer: str, data: bytes, *, has_marker: bool = True) -> bool:
    """Would the network take it?"""
    return size_of(payer, data, has_marker=has_marker) <= PACKET_BYTES


def fee_of(units: int, unit_price: int) -> int:
    """What a transaction with one signature pays, in lamports, whatever becomes of it in a block."""
    return SIGNATURE_FEE - (-units * unit_price // 1_000_000)


SIGNATURE_FEE: Final = 5_000
"""Lamports for each signature."""
