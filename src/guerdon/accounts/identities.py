"""How a person's email or platform id becomes an identity: the same string in every program, today and in ten years.

Pure: no I/O, no clock. Wallets are derived from identities, so what is here is versioned and frozen (SAFETY S6): a
change makes a new version beside this one, and `tests/accounts/test_identities.py` has the table that must not move.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NewType
from urllib.parse import unquote_to_bytes

from guerdon.accounts.errors import InvalidEmailError, InvalidIdentifierError

Identity = NewType("Identity", str)
"""`email:a@example.org`, `discord:123`, `eip155:0x…`, `solana:…`; made only here."""

NORMALISATION_VERSION: Final = 1

PLATFORM_SYNTHETIC_DOMAIN: Final = "loyalteez.app"
"""`{platform}_{id}` at this host names the identity (platform, id) in every program (DESIGN section 8)."""

MAX_EMAIL_CHARACTERS: Final = 254
MAX_PLATFORM_ID_CHARACTERS: Final = 200

_EMAIL = "email"
_NOT_SYNTHETIC = frozenset({_EMAIL, "eip155", "solana"})
"""Namespaces that no synthetic address can name: a wallet is named by its own address only."""

_NAMESPACED = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,31}):(.+)", re.DOTALL)
_SYNTHETIC = re.compile(r"([a-z][a-z0-9-]{0,31})_(.+)", re.DOTALL)
_PLATFORM = re.compile(r"[a-z][a-z0-9-]{0,31}")
_LOCAL = re.compile(r"""[^\s"(),:;<>@\[\\\]]{1,64}""")
_HOST = re.compile(r"(?=.{1,253}$)(?:(?!-)[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?!-)[^\W_](?:[\w-]{0,61}[^\W_])?")
_EVM_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_SOLANA_ADDRESS = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")
_PERCENT = re.compile(r"%(?![0-9a-f]{2})")
_BLANKS = " \t\r\n"
# Control, format (invisible), surrogate, private use, unassigned; line and paragraph separators.
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def normalise(email_or_identifier: str, synthetic_domains: frozenset[str] = frozenset()) -> Identity:
    """The identity that an email, a synthetic address or a `platform:id` names.

    Case does not matter; `a+b@x` and `a@x` are two people; look-alike letters stay apart (NFC, never NFKC); ids keep
    their leading zeros. `synthetic_domains` are the program's own, in lower case; the platform's is always among them.

    Raises `InvalidEmailError`, or `InvalidIdentifierError` for what has the form `platform:id`.
    """
    text = email_or_identifier.strip(_BLANKS)
    namespaced = _NAMESPACED.fullmatch(text)
    if namespaced is None:
        return _from_email(text, synthetic_domains)
    namespace, rest = namespaced[1].lower(), namespaced[2]
    return _from_email(rest, synthetic_domains) if namespace == _EMAIL else from_platform(namespace, rest)


def from_platform(platform: str, platform_user_id: str) -> Identity:
    """The identity of a platform's user: `discord`, `123` is `discord:123`.

    Ids are compared without case, because the synthetic addresses that name the same people are lower-cased by their
    senders; only Solana addresses keep it.
    """
    namespace = platform.strip(_BLANKS).lower()
    if _PLATFORM.fullmatch(namespace) is None or namespace == _EMAIL:
        message = "a platform's name has 1 to 32 letters, digits or hyphens and begins with a letter, like `discord`"
        raise InvalidIdentifierError(message, details={"field": "userIdentifier"})
    user_id = platform_user_id.strip(_BLANKS)
    if namespace == "solana":
        if _SOLANA_ADDRESS.fullmatch(user_id) is None:
            message = "`solana:` is followed by an address in base58"
            raise InvalidIdentifierError(message, details={"field": "userIdentifier"})
        return Identity(f"solana:{user_id}")
    folded = _folded(user_id)
    if folded is None or not 0 < len(folded) <= MAX_PLATFORM_ID_CHARACTERS:
        message = f"a platform's user id has 1 to {MAX_PLATFORM_ID_CHARACTERS} visible characters and no spaces"
        raise InvalidIdentifierError(message, details={"field": "userIdentifier"})
    if namespace == "eip155" and _EVM_ADDRESS.fullmatch(folded) is None:
        message = "`eip155:` is followed by 0x and 40 hexadecimal digits"
        raise InvalidIdentifierError(message, details={"field": "userIdentifier"})
    return Identity(f"{namespace}:{folded}")


def from_wallet(namespace: str, address: str, chain_id: int | None = None) -> Identity:
    """The identity of a wallet that proved itself; `address` in the form in which it is stored.

    A contract wallet's names its chain (SAFETY S7): at the same address elsewhere there may be somebody else's. No report can
    name such an identity.
    """
    if chain_id is None:
        return from_platform(namespace, address)
    return Identity(f"{namespace}:{chain_id}:{address}")


def wallet_of_identity(identity: str) -> tuple[str, str, int | None] | None:
    """Namespace, address and chain of an identity that is a wallet; None if it is another."""
    namespace, _, rest = identity.partition(":")
    if namespace not in {"eip155", "solana"}:
        return None
    chain, _, address = rest.rpartition(":")
    return namespace, address, int(chain) if chain else None


def _from_email(text: str, synthetic_domains: frozenset[str]) -> Identity:
    folded = _folded(text) if len(text) <= MAX_EMAIL_CHARACTERS else None
    if folded is None or len(folded) > MAX_EMAIL_CHARACTERS:
        raise InvalidEmailError(details={"field": "userEmail"})
    local, at, host = folded.rpartition("@")
    if not at or _LOCAL.fullmatch(local) is None or _HOST.fullmatch(host) is None:
        raise InvalidEmailError(details={"field": "userEmail"})
    if host == PLATFORM_SYNTHETIC_DOMAIN or host in synthetic_domains:
        synthetic = _SYNTHETIC.fullmatch(local)
        if synthetic is not None:
            return _from_synthetic(synthetic[1], synthetic[2])
    return Identity(f"{_EMAIL}:{folded}")


def _from_synthetic(platform: str, encoded_id: str) -> Identity:
    """`{platform}_{id}@…`, where the id's special characters are URL-encoded."""
    if platform in _NOT_SYNTHETIC or _PERCENT.search(encoded_id):
        raise InvalidEmailError(details={"field": "userEmail"})
    try:
        return from_platform(platform, unquote_to_bytes(encoded_id).decode("utf-8"))
    except (UnicodeDecodeError, InvalidIdentifierError) as error:
        raise InvalidEmailError(details={"field": "userEmail"}) from error


def _folded(text: str) -> str | None:
    """Lower case and NFC, or None if there is a character that nobody can see or tell from nothing."""
    if text.isascii():
        return text.lower() if text.isprintable() and " " not in text else None
    # Unassigned characters are refused: a later Unicode version may give them a lower case, and the identity would move.
    if any(unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in text):
        return None
    folded = unicodedata.normalize("NFC", text).lower()
    return unicodedata.normalize("NFC", folded)
