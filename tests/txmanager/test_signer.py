"""Keys are sealed for their row, and nothing but signatures and addresses comes out of the signer."""

from __future__ import annotations

from uuid import UUID

import pytest
from eth_account import Account

from guerdon.chains.signing import decode_transaction
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.txmanager import service_keys
from guerdon.txmanager.chain import Payload
from guerdon.txmanager.errors import InvalidKeyError, KeyExistsError, NetworkNotFoundError, SigningError
from guerdon.txmanager.fees import Fees
from guerdon.txmanager.models import Key, KeyPurpose
from guerdon.txmanager.signer import SealedKey, Signer, UnsignedTransaction
from tests.txmanager.scene import NETWORK, PRIVATE_KEY, SOMEBODY, Scene

TRANSACTION = UnsignedTransaction(31337, 3, Payload(SOMEBODY, b"\x01", 5), 21_000, Fees(20, 2))
RING = KeyRing(MasterKey.generate())


def _key(key_id: UUID, sealed: SealedKey, network: str = NETWORK) -> Key:
    return Key(id=key_id, network=network, purpose="treasury", address=sealed.address, secret_encrypted=sealed.secret_encrypted)


def test_what_is_signed_is_what_was_asked_for_by_the_keys_address() -> None:
    key_id = uuid7()
    sealed = Signer(RING).seal(key_id, NETWORK, PRIVATE_KEY)
    (signed,) = Signer(RING).sign_all(_key(key_id, sealed), [TRANSACTION])
    decoded = decode_transaction(signed.raw)
    assert (decoded.sender, decoded.hash) == (Account.from_key(PRIVATE_KEY).address, signed.hash)
    assert (decoded.nonce, decoded.value, decoded.data, decoded.gas_limit) == (3, 5, b"\x01", 21_000)
    assert (decoded.max_fee_per_gas, decoded.max_priority_fee_per_gas) == (20, 2)


def test_a_generated_key_signs_for_its_address() -> None:
    key_id = uuid7()
    sealed = Signer(RING).generate(key_id, NETWORK)
    (signed,) = Signer(RING).sign_all(_key(key_id, sealed), [TRANSACTION])
    assert decode_transaction(signed.raw).sender == sealed.address


@pytest.mark.parametrize("where", ["another row", "another network", "another address", "another master key"])
def test_a_sealed_key_opens_only_where_it_was_sealed_for(where: str) -> None:
    key_id = uuid7()
    key = _key(key_id, Signer(RING).seal(key_id, NETWORK, PRIVATE_KEY))
    signer = Signer(RING)
    match where:
        case "another row":
            key.id = uuid7()
        case "another network":
            key.network = "elsewhere"
        case "another address":
            key.address = SOMEBODY
        case _:
            signer = Signer(KeyRing(MasterKey.generate()))
    with pytest.raises(SigningError):
        signer.sign_all(key, [TRANSACTION])


def test_a_value_out_of_range_is_an_error_whose_traceback_holds_no_secret() -> None:
    key_id = uuid7()
    key = _key(key_id, Signer(RING).seal(key_id, NETWORK, PRIVATE_KEY))
    wrong = UnsignedTransaction(31337, 3, Payload(SOMEBODY, b"", 5), 21_000, Fees(1, 2))
    with pytest.raises(SigningError) as refused:
        Signer(RING).sign_all(key, [wrong])
    secret = bytes.fromhex(PRIVATE_KEY[2:])
    frames, trace = [], refused.tb
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    ours = [frame for frame in frames if "txmanager/signer.py" in frame.f_code.co_filename]
    assert ours
    assert all(secret not in _values(frame.f_locals) for frame in ours)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_a_key_is_sealed_anew_under_a_new_master_key_and_stays_the_same() -> None:
    key_id, new = uuid7(), MasterKey.generate()
    old = MasterKey.generate()
    key = _key(key_id, Signer(KeyRing(old)).seal(key_id, NETWORK, PRIVATE_KEY))
    key.secret_encrypted = Signer(KeyRing(new, [old])).rewrap(key)
    (signed,) = Signer(KeyRing(new)).sign_all(key, [TRANSACTION])
    assert decode_transaction(signed.raw).sender == Account.from_key(PRIVATE_KEY).address


@pytest.mark.parametrize("wrong", ["", "0x", "ab", "zz" * 32, "00" * 32, "ff" * 32, "0x" + "2b" * 33])
def test_what_is_no_private_key_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidKeyError):
        Signer(RING).seal(uuid7(), NETWORK, wrong)


async def test_s36_one_address_is_one_key_of_a_network(scene: Scene) -> None:
    with pytest.raises(KeyExistsError):
        async with scene.database.platform() as session:
            await service_keys.import_key(
                session, scene.signer, NETWORK, KeyPurpose.MINTER, private_key=PRIVATE_KEY, next_nonce=0
            )


async def test_a_key_needs_a_network(scene: Scene) -> None:
    with pytest.raises(NetworkNotFoundError):
        async with scene.database.platform() as session:
            await service_keys.create_key(session, scene.signer, "nowhere", KeyPurpose.MINTER)


async def test_a_keys_secret_is_stored_sealed_and_seen_in_platform_scope_only(scene: Scene) -> None:
    stored = await scene.owner.fetchval("SELECT secret_encrypted FROM keys")
    assert bytes.fromhex(PRIVATE_KEY[2:]) not in stored
    async with scene.database.program(uuid7()) as session:
        assert await service_keys.repository_keys.key(session, scene.key_id) is None  # pyright: ignore[reportArgumentType]


async def test_all_keys_are_sealed_anew_at_once(scene: Scene) -> None:
    new = MasterKey.generate()
    signer = Signer(KeyRing(new, [scene.master]))
    async with scene.database.platform() as session:
        assert await service_keys.rewrap_keys(session, signer) == 1
        assert await service_keys.rewrap_keys(session, signer) == 0
    (signed,) = Signer(KeyRing(new)).sign_all(await scene.key(), [TRANSACTION])
    assert decode_transaction(signed.raw).sender == scene.address


def _values(variables: dict[str, object]) -> list[object]:
    return list(variables.values())
