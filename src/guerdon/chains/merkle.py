"""Merkle trees as OpenZeppelin's libraries have them: a heap of hashes with the root first, pairs sorted. Pure.

What a leaf is depends on the contract; `drop_contract.py` has that of `MerkleDrop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eth_utils.crypto import keccak

HASH_BYTES: Final = 32


class Tree:
    """A tree over some hashes. Which leaves there are decides about the root, in whatever order they were given.

    `nodes` are all its hashes, 32 bytes each: the children of node i are 2i + 1 and 2i + 2, and the leaves stand last.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """`ValueError` for no leaves, for two that are the same, and for hashes of another length."""
        ordered = sorted(set(leaves))
        if not ordered or len(ordered) != len(leaves):
            message = "a tree is built over some leaves that are all different"
            raise ValueError(message)
        if any(len(leaf) != HASH_BYTES for leaf in ordered):
            raise ValueError(f"a leaf has {HASH_BYTES} bytes")
        inner = len(ordered) - 1
        nodes: list[bytes] = [b""] * inner + ordered[::-1]
        for index in range(inner - 1, -1, -1):
            nodes[index] = pair(nodes[2 * index + 1], nodes[2 * index + 2])
        self._places = {leaf: inner + offset for offset, leaf in enumerate(nodes[inner:])}
        self.root = nodes[0]
        self.nodes = b"".join(nodes)

    def place_of(self, leaf: bytes) -> int:
        """Where a leaf stands among the nodes; `KeyError` if it is none."""
        return self._places[leaf]


def siblings(place: int) -> list[int]:
    """The places whose hashes lead from a leaf to the root, in their order: the proof of that leaf."""
    found: list[int] = []
    while place > 0:
        found.append(place + 1 if place % 2 else place - 1)
        place = (place - 1) // 2
    return found


def root_of(leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads to."""
    for sibling in proof:
        leaf = pair(leaf, sibling)
    return leaf


def pair(one: bytes, other: bytes) -> bytes:
    """The hash of two nodes, whichever of them comes first."""
    return keccak(one + other if one < other else other + one)
