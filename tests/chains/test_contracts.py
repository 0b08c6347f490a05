"""Coding of calls, logs and errors, without a chain."""

from __future__ import annotations

from dataclasses import replace

import pytest
import rlp
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from guerdon.chains import abi, contracts
from guerdon.chains.artifacts import CONTRACTS, artifact, code_matches
from guerdon.chains.contracts import decode_error
from guerdon.chains.port import BadAnswerError, Log

TOKEN, ANN, BOB = "0x" + "11" * 20, "0x" + "aa" * 20, "0x" + "bb" * 20
BATCH = bytes(range(16))

addresses = st.binary(min_size=20, max_size=20).map(to_checksum_address)
payments = st.lists(st.tuples(addresses, st.integers(1, contracts.MAX_PAYMENT)), max_size=5)
hashes = st.binary(min_size=32, max_size=32).map(lambda raw: f"0x{raw.hex()}")


def log(*topics: str, data: bytes = b"") -> Log:
    return Log(to_checksum_address(TOKEN), topics, data, 0, 0, "0x" + "00" * 32, 1, "0x" + "00" * 32)


@given(addresses, st.binary(min_size=16, max_size=16), st.lists(hashes, max_size=3), payments)
def test_a_pay_call_reads_back_as_it_was_written(
    token: str, batch: bytes, supersedes: list[str], paid: list[tuple[str, int]]
) -> None:
    read = contracts.read_pay_call(contracts.pay_call(token, batch, supersedes, paid))
    assert read == contracts.PayCall(token, batch, tuple(supersedes), tuple(paid))


@given(st.integers(1, 2**64), addresses, addresses, st.binary(min_size=16, max_size=16), payments)
def test_s17_the_batch_id_is_the_hash_of_everything_in_it(
    chain_id: int, distributor: str, token: str, batch: bytes, paid: list[tuple[str, int]]
) -> None:
    words = [(int(recipient, 16) << 96 | amount).to_bytes(32, "big") for recipient, amount in paid]
    packed = encode(["uint256", "address", "address", "bytes16", "bytes32[]"], [chain_id, distributor, token, batch, words])
    assert contracts.batch_id(chain_id, distributor, token, batch, paid) == f"0x{keccak(packed).hex()}"


@pytest.mark.parametrize("amount", [0, -1, contracts.MAX_PAYMENT + 1])
def test_an_amount_that_a_payment_cannot_carry_is_refused(amount: int) -> None:
    with pytest.raises(ValueError, match="payment"):
        contracts.pay_call(TOKEN, BATCH, [], [(ANN, amount)])


@pytest.mark.parametrize("recipient", ["", "0x12", "0x" + "zz" * 20, "0x" + "aa" * 21])
def test_what_is_no_address_is_refused(recipient: str) -> None:
    with pytest.raises(ValueError):
        contracts.pay_call(TOKEN, BATCH, [], [(recipient, 1)])


def test_a_batch_name_that_is_no_uuid_is_refused() -> None:
    with pytest.raises(ValueError, match="UUID"):
        contracts.pay_call(TOKEN, BATCH + b"\0", [], [(ANN, 1)])


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\0", contracts.balance_of_call(ANN), contracts.pay_call(TOKEN, BATCH, [], [])[:-1]]
)
def test_other_data_is_no_pay_call(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a call of pay"):
        contracts.read_pay_call(data)


@given(addresses, st.integers(0, 2**40))
def test_a_contracts_address_follows_from_sender_and_nonce(sender: str, nonce: int) -> None:
    wanted = keccak(rlp.encode([bytes.fromhex(sender[2:]), nonce]))[-20:]
    assert contracts.created_address(sender, nonce) == to_checksum_address(wanted)


def test_a_transfer_is_read_from_its_log() -> None:
    ann, bob = (f"0x{'00' * 12}{address[2:]}" for address in (ANN, BOB))
    entry = log(contracts.TRANSFER_TOPIC, ann, bob, data=(7).to_bytes(32, "big"))
    assert contracts.TRANSFER_TOPIC == "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    assert contracts.read_transfer(entry) == contracts.Transfer(
        to_checksum_address(TOKEN), to_checksum_address(ANN), to_checksum_address(BOB), 7
    )
    assert contracts.read_batch_paid(entry) is None
    # ERC-721 has the same topic with three indexed arguments.
    assert contracts.read_transfer(replace(entry, topics=(*entry.topics, ann), data=b"")) is None
    assert contracts.read_transfer(replace(entry, topics=())) is None


@pytest.mark.parametrize("data", [b"", b"\1", b"\0" * 31, b"\0" * 33])
def test_a_log_that_cannot_be_decoded_is_a_bad_answer(data: bytes) -> None:
    with pytest.raises(BadAnswerError):
        contracts.read_transfer(log(contracts.TRANSFER_TOPIC, "0x" + "00" * 32, "0x" + "00" * 32, data=data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes.fromhex("08c379a0") + encode(["string"], ["no"]), "Error(no)"),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [17]), "Panic(17)"),
        (keccak(b"NothingToPay()")[:4], "NothingToPay()"),
        (keccak(b"PaymentFailed(uint256,address,bytes)")[:4] + encode(["uint256", "address", "bytes"], [3, ANN, b"\1"]), f"PaymentFailed(3, {ANN}, 0x01)"),
        (b"", "None"),
        (b"\1\2\3\4", "None"),
        (bytes.fromhex("08c379a0") + b"\1", "None"),
    ],
)  # fmt: skip
def test_revert_data_is_read(data: bytes, words: str) -> None:
    assert str(decode_error(data)) == words


def test_only_a_payments_failure_names_a_payment() -> None:
    assert contracts.failed_payment(keccak(b"NothingToPay()")[:4]) is None
    assert contracts.failed_payment(b"") is None


@pytest.mark.parametrize("answer", [b"", b"\1", b"\0" * 33])
def test_an_answer_that_is_no_number_is_a_bad_answer(answer: bytes) -> None:
    with pytest.raises(BadAnswerError):
        contracts.decode_uint(answer)


@pytest.mark.parametrize("name", CONTRACTS)
def test_an_artifacts_own_code_matches_it_and_changed_code_does_not(name: str) -> None:
    carried = artifact(name)
    code = bytearray(carried.runtime_code)
    assert carried.runtime_code in carried.creation_code
    for start, length in carried.immutables:
        code[start : start + length] = b"\xff" * length
    assert code_matches(carried, bytes(code))
    assert not code_matches(carried, bytes(code) + b"\0")
    assert not code_matches(carried, b"")
    code[-1] ^= 1
    assert not code_matches(carried, bytes(code))


def test_an_account_that_delegates_to_a_contract_is_not_that_contract() -> None:
    delegation = b"\xef\x01\x00" + b"\x11" * 20
    assert not code_matches(replace(artifact("RewardDistributor"), runtime_code=delegation), delegation)


def test_an_unknown_contract_or_function_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        artifact("Nothing")
    with pytest.raises(KeyError):
        abi.call_data("RewardToken", "nothing")
