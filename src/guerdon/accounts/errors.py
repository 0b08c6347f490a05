"""What can be wrong with how a person is named, and with the secret that wallets come from."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class InvalidEmailError(GuerdonError, status=400, code="INVALID_EMAIL", title="Invalid event data"):
    """`userEmail` is no address like name@host.example; send the person's email, or `{platform}_{id}@loyalteez.app`."""


class InvalidIdentifierError(GuerdonError, status=400, code="INVALID_IDENTIFIER", title="Invalid event data"):
    """`userIdentifier` is neither an email nor `platform:id` nor `{platform, platformUserId}`."""


class WalletMismatchError(GuerdonError, status=500, code="WALLET_MISMATCH", title="Internal error"):
    """The wallet derived for this identity is not the one on record, so nothing was signed. Restore the right master secret."""


class MasterSecretError(GuerdonError, status=503, code="MASTER_SECRET", title="Service unavailable"):
    """The master secret is not the one that wallets were made from; restore database and secret key that belong together."""
