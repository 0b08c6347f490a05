"""The compiled contracts that this package carries: loading them, and telling whether a chain has their code.

The files in `artifacts/` are written by `npm run build` in `contracts/`, whose check compares them with the sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

CONTRACTS: Final = ("MerkleDrop", "RewardDistributor", "RewardMinter", "RewardToken", "TestUSDC", "WalletSignatureCheck")
_EIP7702_PREFIX: Final = b"\xef\x01\x00"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract."""

    contract: str
    abi: tuple[dict[str, Any], ...] = field(repr=False)
    creation_code: bytes = field(repr=False)
    runtime_code: bytes = field(repr=False)
    """With zeros where immutables stand."""
    immutables: tuple[tuple[int, int], ...] = field(repr=False)
    """Start and length, in bytes, of each place where the constructor writes an immutable."""
    compiler: str
    settings: dict[str, Any]
    source_hash: str
    """SHA-256 over the paths and contents of all its sources."""


@cache
def artifact(contract: str) -> Artifact:
    """The artifact of a contract by its name. Raises `KeyError` for a name that this package does not carry."""
    if contract not in CONTRACTS:
        raise KeyError(contract)
    stored = msgspec.json.decode(files("guerdon.chains").joinpath("artifacts", f"{contract}.json").read_bytes())
    return Artifact(
        contract=stored["contract"],
        abi=tuple(stored["abi"]),
        creation_code=_bytes(stored["creation_code"]),
        runtime_code=_bytes(stored["runtime_code"]),
        immutables=tuple((start, length) for start, length in stored["immutables"]),
        compiler=stored["compiler"],
        settings=stored["settings"],
        source_hash=stored["source_hash"],
    )


def code_matches(artifact: Artifact, code: bytes) -> bool:
    """Is `code`, as a chain has it at an address, this contract, whatever its immutables are?

    The code of an account that merely delegates to one (EIP-7702) is not.
    """
    if len(code) != len(artifact.runtime_code) or code.startswith(_EIP7702_PREFIX):
        return False
    masked = bytearray(code)
    for start, length in artifact.immutables:
        masked[start : start + length] = bytes(length)
    return bytes(masked) == artifact.runtime_code


def _bytes(digits: str) -> bytes:
    return bytes.fromhex(digits.removeprefix("0x"))
