"""Networks by name and CAIP-2 id."""

from __future__ import annotations

import pytest

from guerdon.chains.networks import (
    KNOWN_NETWORKS,
    SOLANA,
    UnknownNetworkError,
    begins_as,
    caip2_of,
    chain_id_of,
    known_network,
    parse_caip2,
)


@pytest.mark.parametrize(
    ("name", "chain_id"),
    [("soneium", 1868), ("soneium-minato", 1946), ("base", 8453), ("base-sepolia", 84532), ("ethereum", 1), ("local", 31337)],
)
def test_known_networks_answer_to_name_and_caip2_id(name: str, chain_id: int) -> None:
    assert chain_id_of(name) == chain_id_of(f"eip155:{chain_id}") == chain_id
    assert known_network(name) is known_network(f"eip155:{chain_id}") is KNOWN_NETWORKS[name]
    assert KNOWN_NETWORKS[name].caip2 == f"eip155:{chain_id}"


@pytest.mark.parametrize(
    ("name", "genesis_hash"),
    [
        ("solana", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"),
        ("solana-devnet", "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"),
        ("solana-local", "Guerdon1oca1So1ana11111111111111abcdefghijkm"),
    ],
)
def test_a_known_solana_is_told_by_how_its_genesis_hash_begins(name: str, genesis_hash: str) -> None:
    known = KNOWN_NETWORKS[name]
    assert (known.namespace, known.chain_id, known.caip2) == (SOLANA, None, f"solana:{genesis_hash[:32]}")
    assert known_network(name) is known_network(f"solana:{genesis_hash[:32]}") is known
    assert begins_as(known, genesis_hash)
    assert not begins_as(known, genesis_hash[::-1])
    with pytest.raises(UnknownNetworkError, match="no known network with a chain id"):
        chain_id_of(name)


def test_what_others_call_a_network_is_understood() -> None:
    assert known_network("solana-mainnet") is known_network("solana-mainnet-beta") is KNOWN_NETWORKS["solana"]
    assert caip2_of("solana-mainnet") == caip2_of("solana") == "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"


def test_a_cluster_that_is_not_known_by_name_has_a_caip2_id_all_the_same() -> None:
    testnet = "solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z"
    assert caip2_of(testnet) == testnet
    with pytest.raises(UnknownNetworkError):
        known_network(testnet)
    for text in ("solana:short", "solana:0OIl0OIl0OIl0OIl0OIl0OIl0OIl0OIl", "bip122:000000000019d6689c085ae165831e93"):
        with pytest.raises(UnknownNetworkError):
            caip2_of(text)


def test_any_evm_chain_has_a_caip2_id() -> None:
    assert chain_id_of("eip155:137") == 137
    with pytest.raises(UnknownNetworkError):
        known_network("eip155:137")


@pytest.mark.parametrize(
    "text", ["", "Base", "eip155:", "eip155:0", "eip155:01", "eip155:1x", "eip155:-1", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"]
)
def test_other_texts_are_no_evm_network(text: str) -> None:
    with pytest.raises(UnknownNetworkError, match="no known network"):
        chain_id_of(text)


def test_caip2_ids_are_taken_apart() -> None:
    assert parse_caip2("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp") == ("solana", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp")
    for text in ("eip155", "ei:1", "eip155:1:2", "EIP155:1", "eip155:1\n"):
        with pytest.raises(ValueError, match="CAIP-2"):
            parse_caip2(text)


def test_people_find_transactions_in_the_explorer() -> None:
    assert KNOWN_NETWORKS["base"].transaction_url("0xab") == "https://basescan.org/tx/0xab"
    assert KNOWN_NETWORKS["base"].address_url("0xab") == "https://basescan.org/address/0xab"
    assert KNOWN_NETWORKS["local"].transaction_url("0xab") is None
    assert KNOWN_NETWORKS["solana"].address_url("Ab") == "https://explorer.solana.com/address/Ab"
    assert KNOWN_NETWORKS["solana-devnet"].transaction_url("Ab") == "https://explorer.solana.com/tx/Ab?cluster=devnet"
