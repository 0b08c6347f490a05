"""Transactions: put together, measured to the byte, signed, and taken apart. Pure; keeps no key.

Signatures of ed25519 are deterministic: the same message and key give the same bytes and signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from guerdon.chains.solana.values import TransactionFault

LARGEST_TRANSACTION: Final = 1_232
"""Bytes of a transaction with its signatures."""
MOST_UNITS: Final = 1_400_000
SIGNATURE_FEE: Final = 5_000
"""Lamports for each signature, whether the transaction succeeds or not."""
_KEY_BYTES: Final = 32
_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class DecodedTransaction:
    """What signed bytes say."""

    signature: str
    fee_payer: str
    signers: tuple[str, ...]
    blockhash: str
    instructions: tuple[Instruction, ...]


def address_of(private_key: bytes) -> str:
    """The address of a private key of 32 bytes; `ValueError` if it is none."""
    return str(_keypair(private_key).pubkey())


def size_of(payer: str, instructions: Sequence[Instruction]) -> int:
    """How many bytes the signed transaction would have."""
    message = _message(payer, instructions, Hash.default())
    signatures = [Signature.default()] * message.header.num_required_signatures
    return len(bytes(VersionedTransaction.populate(message, signatures)))


def fits(payer: str, instructions: Sequence[Instruction]) -> bool:
    """Is there room for all of them in one transaction?"""
    return size_of(payer, instructions) <= LARGEST_TRANSACTION


def how_many_fit(payer: str, common: Sequence[Instruction], groups: Sequence[Sequence[Instruction]]) -> int:
    """How many of the groups, from the first on, have room in one transaction beside what is common to all."""
    low, high = 0, len(groups)
    while low < high:
        middle = (low + high + 1) // 2
        chosen = [*common, *(one for group in groups[:middle] for one in group)]
        if fits(payer, chosen):
            low = middle
        else:
            high = middle - 1
    return low


def pack(payer: str, instructions: Sequence[Instruction]) -> bytes:
    """Instructions as they are stored before there is a blockhash: a message with an empty one."""
    return bytes(_message(payer, instructions, Hash.default()))


def unpack(packed: bytes) -> tuple[str, list[Instruction]]:
    """The fee payer and the instructions of a message; `ValueError` if it is none."""
    message = MessageV0.from_bytes(packed)
    return str(message.account_keys[0]), _instructions(message)


def sign(private_keys: Sequence[bytes], instructions: Sequence[Instruction], blockhash: str) -> tuple[bytes, str]:
    """The bytes to send and their signature in base 58. The first key pays the fee; each is 32 bytes.

    `ValueError` for a key that is none or that is missing, or if the transaction is too large: then nothing is signed.
    """
    keypairs = [_keypair(one) for one in private_keys]
    message = _message(str(keypairs[0].pubkey()), instructions, Hash.from_string(blockhash))
    needed = {str(key) for key in message.account_keys[: message.header.num_required_signatures]}
    if needed != {str(one.pubkey()) for one in keypairs}:
        raise ValueError("the keys are not those that have to sign")
    size = size_of(str(keypairs[0].pubkey()), instructions)
    if size > LARGEST_TRANSACTION:
        raise ValueError(f"the transaction has {size} bytes, {LARGEST_TRANSACTION} are the most")
    transaction = VersionedTransaction(message, keypairs)
    return bytes(transaction), str(transaction.signatures[0])


def unsigned(payer: str, instructions: Sequence[Instruction]) -> bytes:
    """The bytes of a transaction without signatures and blockhash, for a simulation that replaces the blockhash."""
    message = _message(payer, instructions, Hash.default())
    return bytes(VersionedTransaction.populate(message, [Signature.default()] * message.header.num_required_signatures))


def decode_transaction(raw: bytes) -> DecodedTransaction:
    """What signed bytes of a v0 transaction without look-up tables say; `ValueError` for anything else, or a wrong signature."""
    transaction = VersionedTransaction.from_bytes(raw)
    message = transaction.message
    if not isinstance(message, MessageV0) or message.address_table_lookups or not all(transaction.verify_with_results()):
        raise ValueError("not a signed transaction of ours")
    keys = [str(key) for key in message.account_keys]
    return DecodedTransaction(
        signature=str(transaction.signatures[0]),
        fee_payer=keys[0],
        signers=tuple(keys[: message.header.num_required_signatures]),
        blockhash=str(message.recent_blockhash),
        instructions=tuple(_instructions(message)),
    )


def signature_of(raw: bytes) -> str:
    """The signature that signed bytes will be known by."""
    return str(VersionedTransaction.from_bytes(raw).signatures[0])


def fee_of(signatures: int, units: int, micro_lamports: int) -> int:
    """What a transaction costs its payer, in lamports: for its signatures, and the units it asks for at their price."""
    return signatures * SIGNATURE_FEE + -(-units * micro_lamports // _MICRO)


def is_repeat(error: TransactionFault | None, marker_at: int) -> bool:
    """Did a transaction fail because its marker was there already? `marker_at` is the place of the allocating instruction."""
    return error == {"InstructionError": [marker_at, {"Custom": 0}]}


def _message(payer: str, instructions: Sequence[Instruction], blockhash: Hash) -> MessageV0:
    return MessageV0.try_compile(Pubkey.from_string(payer), instructions, [], blockhash)


def _instructions(message: MessageV0) -> list[Instruction]:
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
        Instruction(keys[one.program_id_index], bytes(one.data), [metas[place] for place in bytes(one.accounts)])
        for one in message.instructions
    ]


def _keypair(private_key: bytes) -> Keypair:
    if len(private_key) != _KEY_BYTES:
        raise ValueError("not a private key")
    return Keypair.from_seed(private_key)
