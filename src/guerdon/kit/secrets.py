"""Secrets at rest and tokens: an AES-256-GCM envelope under a ring of keys, key files, comparison in constant time.

The keys of chains and people are held by txmanager and accounts; they are stored in this envelope.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from guerdon.settings import Settings, ensure_data_dir

KEY_BYTES = 32
_VERSION = 1
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_HEADER_BYTES = 1 + _KEY_ID_BYTES + _NONCE_BYTES
_TAG_BYTES = 16
_PRIVATE = 0o600


class SecretError(Exception):
    """A secret can't be read; the message says why and what to do, and never what is in it."""


@dataclass(frozen=True, slots=True, repr=False)
class MasterKey:
    """32 random bytes that everything secret is encrypted under."""

    value: bytes

    def __post_init__(self) -> None:
        if len(self.value) != KEY_BYTES:
            message = f"a master key has {KEY_BYTES} bytes; make one with: openssl rand -base64 32"
            raise SecretError(message)

    def __repr__(self) -> str:
        return f"MasterKey(id={self.id.hex()})"

    @property
    def id(self) -> bytes:
        """Tells keys apart without telling anything of them; stands in every envelope."""
        return hashlib.sha256(b"guerdon key id" + self.value).digest()[:_KEY_ID_BYTES]

    @classmethod
    def generate(cls) -> MasterKey:
        """A new one."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_text(cls, text: str) -> MasterKey:
        """From base64 (standard or URL alphabet) or hex."""
        compact = text.strip()
        try:
            value = bytes.fromhex(compact) if len(compact) == 2 * KEY_BYTES else _from_base64(compact)
        except (ValueError, binascii.Error) as error:
            message = "a master key is written in base64 or hex; make one with: openssl rand -base64 32"
            raise SecretError(message) from error
        return cls(value)

    def to_text(self) -> str:
        """As base64, for a key file."""
        return base64.b64encode(self.value).decode("ascii")


class KeyRing:
    """The key that encrypts, and older ones that still decrypt.

    An envelope is version, key id, nonce, ciphertext and tag. Its context (which row and column it stands in) is
    authenticated with it, so that a ciphertext moved to another row does not decrypt.
    """

    def __init__(self, current: MasterKey, older: Sequence[MasterKey] = ()) -> None:
        """`older` keys decrypt only."""
        self._current = current
        self._keys = {key.id: key for key in (*older, current)}

    def encrypt(self, plain: bytes, context: bytes) -> bytes:
        """Seal `plain` under the current key."""
        nonce = os.urandom(_NONCE_BYTES)
        header = bytes((_VERSION,)) + self._current.id + nonce
        return header + AESGCM(self._current.value).encrypt(nonce, plain, header[:-_NONCE_BYTES] + context)

    def decrypt(self, envelope: bytes, context: bytes) -> bytes:
        """Open an envelope; `SecretError` if it was changed, is of another context, or its key is not in the ring."""
        if len(envelope) < _HEADER_BYTES + _TAG_BYTES or envelope[0] != _VERSION:
            message = "this is no envelope of ours"
            raise SecretError(message)
        key_id = envelope[1 : 1 + _KEY_ID_BYTES]
        key = self._keys.get(key_id)
        if key is None:
            message = f"encrypted under key {key_id.hex()}, which is not configured: add it to the older keys"
            raise SecretError(message)
        nonce = envelope[1 + _KEY_ID_BYTES : _HEADER_BYTES]
        try:
            return AESGCM(key.value).decrypt(nonce, envelope[_HEADER_BYTES:], envelope[: 1 + _KEY_ID_BYTES] + context)
        except InvalidTag as error:
            message = "a stored secret was changed, or stands in another place than it was made for"
            raise SecretError(message) from error

    @property
    def current_id(self) -> bytes:
        """The id of the current key, as it stands in what is sealed under it: the second to the fifth byte."""
        return self._current.id

    def opens(self, envelope: bytes) -> bool:
        """Is the key that it is sealed under in the ring?"""
        return self.has(envelope[1 : 1 + _KEY_ID_BYTES])

    def has(self, key_id: bytes) -> bool:
        """Is the key of this id in the ring?"""
        return key_id in self._keys

    def is_current(self, envelope: bytes) -> bool:
        """Is it sealed under the current key?"""
        return envelope[1 : 1 + _KEY_ID_BYTES] == self._current.id

    def rewrap(self, envelope: bytes, context: bytes) -> bytes:
        """The same secret under the current key; an envelope that is already, as it is."""
        return envelope if self.is_current(envelope) else self.encrypt(self.decrypt(envelope, context), context)


def read_or_create_key_file(path: Path) -> MasterKey:
    """The master key in a file that only its owner may read; made if it is not there.

    Raises `SecretError` for a file that others may read.
    """
    try:
        return _read_key_file(path)
    except FileNotFoundError:
        pass
    key = MasterKey.generate()
    # Written beside and linked into place: of two processes that start at once one wins, and nobody reads half a key.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{key.to_text()}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return _read_key_file(path)
    finally:
        temporary.unlink()
    return key


def _read_key_file(path: Path) -> MasterKey:
    with path.open(encoding="ascii") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            message = f"{path} may be read by others; mend it with: chmod 600 {path}"
            raise SecretError(message)
        return MasterKey.from_text(file.read())


def derive(secret: bytes, purpose: str, length: int = KEY_BYTES) -> bytes:
    """A key for one purpose from a secret (HKDF-SHA256): knowing one tells nothing of the secret or of another."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose.encode()).derive(secret)


def new_token(prefix: str, *, random_bytes: int = 32) -> str:
    """A token to show once, such as `gsk_…`: the prefix tells people and secret scanners what it is."""
    return f"{prefix}{secrets.token_urlsafe(random_bytes)}"


def equal(left: str | bytes, right: str | bytes) -> bool:
    """Are they the same? Takes the same time wherever they differ."""
    return hmac.compare_digest(
        left.encode() if isinstance(left, str) else left, right.encode() if isinstance(right, str) else right
    )


def _from_base64(text: str) -> bytes:
    standard = text.replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)


def key_ring(settings: Settings) -> KeyRing:
    """The ring of an installation: the configured key, else `secret.key` in its data directory, made if need be."""
    if settings.secret_key is not None:
        current = MasterKey.from_text(settings.secret_key.get_secret_value())
    elif settings.secret_key_file is not None:
        try:
            current = _read_key_file(settings.secret_key_file)
        except FileNotFoundError as error:
            message = f"GUERDON_SECRET_KEY_FILE names {settings.secret_key_file}, which is not there"
            raise SecretError(message) from error
    else:
        current = read_or_create_key_file(ensure_data_dir(settings) / "secret.key")
    return KeyRing(current, [MasterKey.from_text(key.get_secret_value()) for key in settings.older_secret_keys])
