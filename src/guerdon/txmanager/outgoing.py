"""Finding on the chain what a key has sent: by nonce where the node keeps old state, else by reading blocks. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from guerdon.chains.port import Transaction
from guerdon.txmanager.chain import Chain

_BLOCKS_A_READ = 25


@dataclass(frozen=True, slots=True)
class Effects:
    """What a transaction from outside did, as far as it matters to us (SAFETY S20)."""

    transaction: Transaction
    touched: frozenset[str]
    """Our contracts and tokens that it called, or that logged in it."""
    creates: bool

    @property
    def is_harmless(self) -> bool:
        """Did it neither move treasury tokens, nor call our contracts, nor make one?"""
        return not self.touched and not self.creates


async def find_by_nonce(chain: Chain, address: str, nonce: int, *, final_block: int, scan_blocks: int) -> Transaction | None:
    """The transaction of `address` with `nonce`, in a block up to `final_block`; None if it can't be found."""
    number = await _block_of_nonce(chain, address, nonce, final_block)
    if number is not None:
        return _with_nonce(await chain.sent_in(address, [number]), nonce)
    high = final_block
    while high >= 0 and high > final_block - scan_blocks:
        low = max(0, high - _BLOCKS_A_READ + 1)
        found = _with_nonce(await chain.sent_in(address, range(low, high + 1)), nonce)
        if found is not None:
            return found
        high = low - 1
    return None


async def effects_of(chain: Chain, transaction: Transaction, ours: Collection[str]) -> Effects | None:
    """What a transaction did to `ours` (lower-case addresses); None if the node has no receipt of it now."""
    receipt = await chain.receipt(transaction.hash)
    if receipt is None:
        return None
    involved = {log.address.lower() for log in receipt.logs} | {(transaction.to or "").lower()}
    return Effects(transaction, frozenset(involved & set(ours)), creates=transaction.to is None)


async def _block_of_nonce(chain: Chain, address: str, nonce: int, final_block: int) -> int | None:
    """Height of the first block after which the counter is above `nonce`, by bisection; None without old state."""
    count = await chain.nonce_at(address, final_block)
    if count is None or count <= nonce:
        return None
    low, high = 0, final_block
    while low < high:
        middle = (low + high) // 2
        count = await chain.nonce_at(address, middle)
        if count is None:
            return None
        if count > nonce:
            high = middle
        else:
            low = middle + 1
    return high


def _with_nonce(transactions: list[Transaction], nonce: int) -> Transaction | None:
    return next((transaction for transaction in transactions if transaction.nonce == nonce), None)
