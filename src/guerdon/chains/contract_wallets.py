"""Does a contract wallet accept a signature? ERC-1271 for a deployed one, ERC-6492 for one that is not there yet.

Asked in an `eth_call` only, whose effects are thrown away (SAFETY S7). What a wallet says holds on its own chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from guerdon.chains import abi, answers
from guerdon.chains.evm import EvmClient
from guerdon.chains.port import BlockTag, ChainUnavailableError, RpcError

ERC6492_SUFFIX: Final = bytes.fromhex("6492" * 16)
_IS_VALID_SIGNATURE: Final = bytes.fromhex("1626ba7e")
"""The selector of `isValidSignature(bytes32,bytes)`, and the answer that says yes."""
_YES: Final = _IS_VALID_SIGNATURE + bytes(28)
_GAS: Final = 10_000_000
"""What a wallet may take to be made and to judge: some check passkeys in Solidity."""
_CALLER: Final = "0x00000000000000000000000000000000006775fd"
"""Who asks. Not the zero address, as whom nodes call by default: some contracts take that for a simulation and say yes."""


class Judgement(StrEnum):
    """Which way a wallet accepted a signature."""

    ERC1271 = "eip1271"
    ERC6492 = "eip6492"


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A signature as ERC-6492 wraps it: how the wallet would be made, and what it then judges."""

    factory: str
    factory_call: bytes
    signature: bytes


def unwrapped(signature: bytes) -> Counterfactual | None:
    """What ERC-6492 wraps; None if it is a signature as it stands. `ValueError` if it is wrapped and can't be read."""
    if not signature.endswith(ERC6492_SUFFIX):
        return None
    try:
        factory, factory_call, inner = decode(["address", "bytes", "bytes"], signature[: -len(ERC6492_SUFFIX)])
    except (DecodingError, OverflowError) as error:
        raise ValueError("not what ERC-6492 wraps") from error
    return Counterfactual(factory, factory_call, inner)


async def judged(
    client: EvmClient, wallet: str, digest: bytes, signature: bytes, *, block: BlockTag = "latest"
) -> Judgement | None:
    """How the wallet accepts the signature of the 32-byte hash; None if it does not.

    Raises `ChainUnavailableError`: then nothing is known.
    """
    try:
        wrapped = unwrapped(signature)
    except ValueError:
        return None
    if await client.code(wallet, block):
        # A wallet that is there answers for itself; nobody's factory is called on its behalf.
        inner = signature if wrapped is None else wrapped.signature
        return Judgement.ERC1271 if await _accepts(client, wallet, digest, inner, block) else None
    if wrapped is None:
        return None
    return Judgement.ERC6492 if await _would_accept(client, wallet, digest, wrapped, block) else None


async def _accepts(client: EvmClient, wallet: str, digest: bytes, signature: bytes, block: BlockTag) -> bool:
    data = _IS_VALID_SIGNATURE + encode(["bytes32", "bytes"], [digest, signature])
    answer = await _called(client, {"to": wallet, "data": f"0x{data.hex()}"}, block)
    # Exactly one word: what answers everything, or with more, is no such wallet.
    return answer == _YES


async def _would_accept(client: EvmClient, wallet: str, digest: bytes, made: Counterfactual, block: BlockTag) -> bool:
    try:
        data = abi.creation_data("WalletSignatureCheck", wallet, digest, made.factory, made.factory_call, made.signature)
    except EncodingError:
        return False
    return await _called(client, {"data": f"0x{data.hex()}"}, block) == b"\x01"


async def _called(client: EvmClient, call: dict[str, str], block: BlockTag) -> bytes:
    """What the call answers; nothing if it reverts, or takes more gas than it may."""
    asked = {**call, "from": _CALLER, "gas": hex(_GAS)}
    (answer,) = await client.batch([("eth_call", (asked, answers.block_parameter(block)))])
    if isinstance(answer, RpcError):
        if answer.reverted or "gas" in answer.message.lower() or "opcode" in answer.message.lower():
            return b""
        raise ChainUnavailableError(f"The chain's node refused to ask the wallet: {answer.message[:200]}")
    return answers.data(answer, "a wallet's answer")
