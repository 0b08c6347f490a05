"""What txmanager refuses, and why an engine stops. Refusals are told to callers; the others end a worker's part for a key."""

from __future__ import annotations

from guerdon.kit.errors import GuerdonError


class NetworkNotFoundError(GuerdonError, status=404, code="NETWORK_NOT_FOUND", title="Network not found"):
    """No network of this name is set up; `guerdon network list` shows those that are."""


class WrongNamespaceError(GuerdonError, status=409, code="WRONG_NAMESPACE", title="Another kind of chain"):
    """This is not possible on this kind of chain: what is meant for EVM networks is no use on Solana, and the other way round."""


class KeyNotFoundError(GuerdonError, status=404, code="KEY_NOT_FOUND", title="Key not found"):
    """No signing key has this id."""


class InvalidKeyError(GuerdonError, status=400, code="INVALID_PRIVATE_KEY", title="Invalid private key"):
    """A private key is 32 bytes in hexadecimal, not zero and below the order of secp256k1; on Solana base58 or a list of numbers,
    as wallets write it, or hexadecimal.
    """


class KeyExistsError(GuerdonError, status=409, code="KEY_EXISTS", title="Key exists"):
    """This network already has a key with that address; one address is one key, with one counter of nonces."""


class IntentNotFoundError(GuerdonError, status=404, code="INTENT_NOT_FOUND", title="Transaction not found"):
    """No chain transaction has this id."""


class IntentMismatchError(GuerdonError, status=409, code="INTENT_MISMATCH", title="Transaction differs"):
    """A transaction was queued before for the same kind and reference, with another content."""


class IntentNotCancellableError(GuerdonError, status=409, code="INTENT_NOT_CANCELLABLE", title="Too late to cancel"):
    """It has a nonce, so it may land at any time. Kill it with a self-transfer at its nonce, and wait until that is final."""


class IntentNotKillableError(GuerdonError, status=409, code="INTENT_NOT_KILLABLE", title="Nothing to kill"):
    """Only a transaction that has a nonce and is neither included nor finished can be killed by a self-transfer."""


class IntentNotAdoptableError(GuerdonError, status=409, code="INTENT_NOT_ADOPTABLE", title="Cannot adopt"):
    """The chain transaction is not final, or this intent is finished, or it may still land by itself."""


class KeyNotPausedError(GuerdonError, status=409, code="KEY_NOT_PAUSED", title="Key is not paused"):
    """What a key sent is imported while it signs nothing: `guerdon key pause` first."""


class NotFinalYetError(GuerdonError, status=409, code="NOT_FINAL_YET", title="Not final yet"):
    """The key's last transactions on chain are not final. Try again when they are."""


class UnknownOutgoingError(GuerdonError, status=409, code="UNKNOWN_OUTGOING", title="Transactions that nobody accounted for"):
    """The key sent what this database does not know: `guerdon key import` first.

    What stays unmatched after that has paid somebody for something that is not in these books. To resume all the same, give
    --force with a reason: payouts for the same may then be paid again.
    """


class DeploymentMismatchError(GuerdonError, status=409, code="DEPLOYMENT_MISMATCH", title="Another deployment's database"):
    """The database belongs to another deployment than the settings say; nothing is sent, so that nothing is paid twice.

    A copy of a database must not send: give the copy keys and a deployment of its own, or set GUERDON_DEPLOYMENT_ID to the
    id in the table `deployment` once the other deployment is stopped for good.
    """


class SigningError(Exception):
    """A key can't sign: its secret does not open, or a transaction has a value out of range. Says nothing of the secret."""


class LeaseLostError(Exception):
    """Another worker has the key now; whatever was being done for it ends here, unwritten."""


class AttemptRaceError(Exception):
    """Another attempt of the same intent was stored in between; read again and decide anew."""
