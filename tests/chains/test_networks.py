"""Networks by name and CAIP-2 id."""

from __future__ import annotations

import pytest

from guerdon.chains.networks import KNOWN_NETWORKS, UnknownNetworkError, chain_id_of, known_network, parse_caip2


@pytest.mark.parametrize(
    ("name", "chain_id"),
    [("soneium", 1868), ("soneium-minato", 1946), ("base", 8453), ("base-sepolia", 84532), ("ethereum", 1), ("local", 31337)],
)
def test_known_networks_answer_to_name_and_caip2_id(name: str, chain_id: int) -> None:
    assert chain_id_of(name) == chain_id_of(f"eip155:{chain_id}") == chain_id
    assert known_network(name) is known_network(f"eip155:{chain_id}") is KNOWN_NETWORKS[name]
    assert KNOWN_NETWORKS[name].caip2 == f"eip155:{chain_id}"


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
