"""The envelope, the key ring, key files and tokens."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.kit import secrets
from guerdon.kit.secrets import KeyRing, MasterKey, SecretError, key_ring, read_or_create_key_file
from guerdon.settings import load_settings

OLD, NEW = MasterKey.generate(), MasterKey.generate()


@given(st.binary(max_size=300), st.binary(max_size=50))
def test_what_is_sealed_is_opened_again(plain: bytes, context: bytes) -> None:
    ring = KeyRing(NEW)
    envelope = ring.encrypt(plain, context)
    assert ring.decrypt(envelope, context) == plain
    assert len(plain) < 8 or plain not in envelope


def test_the_same_secret_never_looks_the_same_twice() -> None:
    ring = KeyRing(NEW)
    assert ring.encrypt(b"key", b"") != ring.encrypt(b"key", b"")


def test_an_envelope_does_not_open_in_another_place() -> None:
    ring = KeyRing(NEW)
    envelope = ring.encrypt(b"key", b"program_keys:1")
    with pytest.raises(SecretError):
        ring.decrypt(envelope, b"program_keys:2")


@pytest.mark.parametrize("position", [0, 1, 5, 17, -1])
def test_a_changed_byte_is_noticed(position: int) -> None:
    ring = KeyRing(NEW)
    envelope = bytearray(ring.encrypt(b"a private key", b""))
    envelope[position] ^= 1
    with pytest.raises(SecretError):
        ring.decrypt(bytes(envelope), b"")


@pytest.mark.parametrize("envelope", [b"", b"\x01", b"\x02" + bytes(60), b"plain text that was never sealed at all"])
def test_what_is_no_envelope_is_refused(envelope: bytes) -> None:
    with pytest.raises(SecretError):
        KeyRing(NEW).decrypt(envelope, b"")


def test_an_older_key_still_opens_and_the_current_one_seals() -> None:
    old_envelope = KeyRing(OLD).encrypt(b"secret", b"row")
    ring = KeyRing(NEW, [OLD])
    assert ring.decrypt(old_envelope, b"row") == b"secret"
    assert KeyRing(NEW).decrypt(ring.encrypt(b"secret", b"row"), b"row") == b"secret"


def test_wrapping_anew_makes_the_older_key_dispensable() -> None:
    old_envelope = KeyRing(OLD).encrypt(b"secret", b"row")
    ring = KeyRing(NEW, [OLD])
    assert not ring.is_current(old_envelope)
    new_envelope = ring.rewrap(old_envelope, b"row")
    assert ring.is_current(new_envelope)
    assert KeyRing(NEW).decrypt(new_envelope, b"row") == b"secret"
    assert ring.rewrap(new_envelope, b"row") == new_envelope


def test_an_unknown_key_is_named_with_what_to_do() -> None:
    envelope = KeyRing(OLD).encrypt(b"secret", b"")
    with pytest.raises(SecretError, match=f"{OLD.id.hex()}.*add it to the older keys"):
        KeyRing(NEW).decrypt(envelope, b"")


def test_no_key_shows_itself() -> None:
    assert OLD.to_text() not in repr(OLD)
    assert OLD.value.hex() not in repr(OLD)
    with pytest.raises(SecretError) as refused:
        MasterKey.from_text("hunter2")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "write", [MasterKey.to_text, lambda key: key.value.hex(), lambda key: f"  {key.to_text().rstrip('=')}\n"]
)
def test_a_key_is_read_from_base64_or_hex(write) -> None:  # noqa: ANN001
    assert MasterKey.from_text(write(OLD)) == OLD


def test_a_key_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    made = read_or_create_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_create_key_file(path) == made
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    read_or_create_key_file(path)
    path.chmod(0o640)
    with pytest.raises(SecretError, match="chmod 600"):
        read_or_create_key_file(path)


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    keys: list[MasterKey] = []
    threads = [threading.Thread(target=lambda: keys.append(read_or_create_key_file(path))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 12
    assert len(set(keys)) == 1


def test_the_key_comes_from_the_environment_or_a_file_or_the_data_directory(tmp_path: Path) -> None:
    envelope = KeyRing(NEW).encrypt(b"secret", b"")
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(NEW.to_text())
    given_text = load_settings(data_dir=tmp_path / "a", secret_key=NEW.to_text())
    given_file = load_settings(data_dir=tmp_path / "b", secret_key_file=file)
    rotated = load_settings(data_dir=tmp_path / "c", secret_key=OLD.to_text(), older_secret_keys=NEW.to_text())
    for settings in (given_text, given_file, rotated):
        assert key_ring(settings).decrypt(envelope, b"") == b"secret"
    own = load_settings(data_dir=tmp_path / "d")
    sealed = key_ring(own).encrypt(b"mine", b"")
    assert key_ring(own).decrypt(sealed, b"") == b"mine"
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["secret.key"]


def test_keys_derived_for_two_purposes_have_nothing_in_common() -> None:
    assert secrets.derive(OLD.value, "identities") == secrets.derive(OLD.value, "identities")
    assert secrets.derive(OLD.value, "identities") != secrets.derive(OLD.value, "sessions")
    assert len(secrets.derive(OLD.value, "x", 16)) == 16


def test_tokens_are_long_and_different() -> None:
    tokens = {secrets.new_token("gk_") for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("gk_") and len(token) == 46 for token in tokens)


def test_comparison_takes_texts_and_bytes() -> None:
    assert secrets.equal("ä", "ä".encode())
    assert not secrets.equal("a", "b")
