"""Merkle trees: what decides about a root, and that every proof leads to it."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.chains import drop_contract
from guerdon.chains.merkle import HASH_BYTES, Tree, pair, root_of, siblings

HASHES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70, unique=True)


def proof_of(tree: Tree, place: int) -> list[bytes]:
    return [tree.nodes[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in siblings(place)]


@given(HASHES)
def test_s31_every_leaf_is_proven_by_few_hashes(leaves: list[bytes]) -> None:
    tree = Tree(leaves)
    for leaf in leaves:
        proof = proof_of(tree, tree.place_of(leaf))
        assert root_of(leaf, proof) == tree.root
        assert len(proof) <= (len(leaves) - 1).bit_length()


@given(HASHES, st.randoms())
def test_s31_the_root_depends_on_the_leaves_alone(leaves: list[bytes], chance: random.Random) -> None:
    shuffled = list(leaves)
    chance.shuffle(shuffled)
    assert Tree(shuffled).root == Tree(leaves).root


def test_a_tree_of_one_leaf_is_the_leaf() -> None:
    leaf = bytes(32)
    assert Tree([leaf]).root == leaf
    assert siblings(0) == []


def test_pairs_are_sorted() -> None:
    assert pair(b"\1" * 32, b"\2" * 32) == pair(b"\2" * 32, b"\1" * 32)


@pytest.mark.parametrize("leaves", [[], [bytes(32), bytes(32)], [b"short"]])
def test_what_is_no_set_of_leaves_is_refused(leaves: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"leaf|leaves"):
        Tree(leaves)


def test_s31_a_tree_of_many_thousand_leaves_is_built_in_seconds_and_proven_by_seventeen_hashes() -> None:
    made = drop_contract.Leaves(1868, f"0x{'ab' * 20}", f"0x{'cd' * 20}")
    leaves = [made.leaf(f"0x{hashlib.sha256(str(n).encode()).hexdigest()[:40]}", n + 1) for n in range(20_000)]
    tree = Tree(leaves)
    assert len(tree.nodes) == HASH_BYTES * (2 * len(leaves) - 1)
    assert all(root_of(leaf, proof_of(tree, tree.place_of(leaf))) == tree.root for leaf in leaves[::977])
    assert max(len(siblings(tree.place_of(leaf))) for leaf in leaves[::977]) <= 15
