"""What can be wrong with how a person is named, and with the secret that wallets come from."""

from __future__ import annotations

from datetime import datetime

from guerdon.kit.errors import GuerdonError


class InvalidEmailError(GuerdonError, status=400, code="INVALID_EMAIL", title="Invalid event data"):
    """`userEmail` is no address like name@host.example; send the person's email, or `{platform}_{id}@loyalteez.app`."""


class InvalidIdentifierError(GuerdonError, status=400, code="INVALID_IDENTIFIER", title="Invalid event data"):
    """`userIdentifier` is neither an email nor `platform:id` nor `{platform, platformUserId}`."""


class WalletMismatchError(GuerdonError, status=500, code="WALLET_MISMATCH", title="Internal error"):
    """The wallet derived for this identity is not the one on record, so nothing was signed. Restore the right master secret."""


class MasterSecretError(GuerdonError, status=503, code="MASTER_SECRET", title="Service unavailable"):
    """The master secret is not the one that wallets were made from; restore database and secret key that belong together."""


class NetworkUnknownError(GuerdonError, status=400, code="NETWORK_UNKNOWN", title="Unknown network"):
    """No network is known by this name; name one such as `base` or `solana`, or give its CAIP-2 id."""


class InvalidAddressError(GuerdonError, status=400, code="INVALID_ADDRESS", title="Invalid address"):
    """This is no address of that network: on EVM networks `0x` and 40 hexadecimal digits, on Solana 32 bytes in base58."""


class AddressNotFoundError(GuerdonError, status=404, code="ADDRESS_NOT_FOUND", title="Address not found"):
    """The account has no address of this id; `GET /api/rewards/account/addresses` lists those that it has."""


class AddressNotProvenError(GuerdonError, status=403, code="ADDRESS_NOT_PROVEN", title="Address not proven"):
    """Tokens go to the account's own proven addresses only; register this one and prove it first."""


class AddressWaitsError(GuerdonError, status=409, code="ADDRESS_WAITS", title="Address not usable yet"):
    """An account's later addresses wait before tokens may go there; `details.until` says how long this one does."""

    def __init__(self, until: datetime) -> None:
        super().__init__(details={"until": until.isoformat()})
        self.until = until


class AddressTakenError(GuerdonError, status=409, code="ADDRESS_TAKEN", title="Address taken"):
    """Another account of this program has proven this address; ask for it with `POST …/addresses/{id}/transfer`."""


class TooManyAddressesError(GuerdonError, status=409, code="TOO_MANY_ADDRESSES", title="Too many addresses"):
    """The account has as many addresses as one may have; remove one first."""


class WalletSignatureError(GuerdonError, status=400, code="WALLET_SIGNATURE_INVALID", title="Invalid signature"):
    """This is not the address's signature of the challenge's message; sign the message exactly as it was given."""


class TransferProofError(GuerdonError, status=400, code="TRANSFER_PROOF_INVALID", title="Invalid proof"):
    """This is not the transfer that was asked for: native coin, sent by the address itself, of exactly that amount."""


class TransferNotFinalError(GuerdonError, status=409, code="TRANSFER_NOT_FINAL", title="Not final yet"):
    """The transfer is not final on its chain yet; ask again with the same transaction."""


class ChallengeNotFoundError(GuerdonError, status=404, code="CHALLENGE_NOT_FOUND", title="Challenge not found"):
    """Nothing was asked to be signed under this nonce, or not for this; ask for a challenge first."""


class ChallengeExpiredError(GuerdonError, status=409, code="CHALLENGE_EXPIRED", title="Challenge expired"):
    """The challenge has expired; ask for a fresh one."""


class ChallengeUsedError(GuerdonError, status=409, code="CHALLENGE_USED", title="Challenge used"):
    """The challenge was used, or a fresher one took its place; ask for a fresh one."""


class NotSignedInError(GuerdonError, status=401, code="NOT_SIGNED_IN", title="Unauthorized"):
    """Sign in first: send a session's token as `Authorization: Bearer gms_…`, or its cookie."""


class CrossSiteRequestError(GuerdonError, status=403, code="CROSS_SITE_REQUEST", title="Forbidden"):
    """A session kept in a cookie is good on this installation's own pages only; pages of other hosts send a bearer token."""


class OriginNotAllowedError(GuerdonError, status=403, code="ORIGIN_NOT_ALLOWED", title="Forbidden"):
    """This page's host is none of the program's domains; `guerdon program domain add` registers one."""


class SessionBoundError(GuerdonError, status=403, code="SESSION_BOUND", title="Forbidden"):
    """This session was opened on a program's page and is good for that program only; sign in on the installation's own pages."""


class AccountNotFoundError(GuerdonError, status=404, code="ACCOUNT_NOT_FOUND", title="Account not found"):
    """You have no such account in this program; `POST /api/rewards/account` makes your first."""


class IdentityTakenError(GuerdonError, status=409, code="IDENTITY_TAKEN", title="Identity taken"):
    """Another user signs in with this wallet already."""


class SignInAgainError(GuerdonError, status=403, code="SIGN_IN_AGAIN", title="Forbidden"):
    """What changes how you sign in takes a session of the last ten minutes; sign in again and repeat it."""


class LastIdentityError(GuerdonError, status=409, code="LAST_IDENTITY", title="Last identity"):
    """This is the only wallet that you sign in with; add another one first."""


class IdentityNotFoundError(GuerdonError, status=404, code="IDENTITY_NOT_FOUND", title="Identity not found"):
    """You do not sign in with this wallet."""
