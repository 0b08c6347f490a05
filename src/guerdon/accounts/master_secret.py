"""The secret that wallets come from: made once, kept wrapped, never changed (SAFETY S6). What comes of it: `wallets.py`."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final

from guerdon.accounts import repository
from guerdon.accounts.errors import MasterSecretError
from guerdon.accounts.wallets import MASTER_SECRET_BYTES, BuiltInWallets
from guerdon.kit.database import PlatformSession
from guerdon.kit.secrets import KeyRing, SecretError
from guerdon.txmanager import repository_keys

MASTER_SECRET: Final = "wallets"  # noqa: S105 - the name of a secret
"""Its name among the stored secrets."""
_CONTEXT: Final = b"master secret of wallets"


async def open_wallets(session: PlatformSession, ring: KeyRing, now: datetime) -> BuiltInWallets:
    """The built-in wallets of this installation; their secret is made if there is none yet, and wrapped anew if the key
    ring has a newer key.

    Raises `MasterSecretError` if the secret can't be opened or is not the one that wallets were made from.
    """
    stored = await repository.master_secret(session, MASTER_SECRET)
    if stored is None:
        secret = secrets.token_bytes(MASTER_SECRET_BYTES)
        fingerprint = BuiltInWallets(secret).fingerprint()
        await repository.insert_master_secret(session, MASTER_SECRET, ring.encrypt(secret, _CONTEXT), fingerprint, now)
        # Read again: of two processes that start at once, one wins.
        stored = await repository.master_secret(session, MASTER_SECRET)
    if stored is None:
        raise MasterSecretError
    try:
        wallets = BuiltInWallets(ring.decrypt(stored.envelope, _CONTEXT))
    except (SecretError, ValueError) as error:
        message = (
            f"The master secret of wallets can't be opened: {error}. Give back the secret key (GUERDON_SECRET_KEY, or "
            "secret.key in the data directory) that this database was made with."
        )
        raise MasterSecretError(message) from error
    # The deployment's row names it too: a secret that was put in place of another would give other wallets.
    if {stored.fingerprint, await repository_keys.remember_fingerprint(session, stored.fingerprint)} != {wallets.fingerprint()}:
        raise MasterSecretError
    if not ring.is_current(stored.envelope):
        wrapped = ring.rewrap(stored.envelope, _CONTEXT)
        await repository.wrap_master_secret(session, MASTER_SECRET, stored.fingerprint, wrapped, now)
    return wallets
