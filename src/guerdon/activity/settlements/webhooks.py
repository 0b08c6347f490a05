"""What facilitators send and how they sign it: one adapter a kind of source. Pure; all of it is a hint until the chain proves it.

The signature is checked over the raw bytes before anything is parsed. A replay is harmless: one transaction is one hint.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import msgspec

from guerdon.activity.settlements.errors import InvalidWebhookError, StaleWebhookError, WebhookSignatureError
from guerdon.activity.settlements.models import SourceKind
from guerdon.activity.settlements.names import shown
from guerdon.kit.secrets import equal

TOLERANCE: Final = timedelta(minutes=5)
MAX_SETTLEMENTS: Final = 200
"""In one delivery."""
_STANDARD_PREFIX: Final = "whsec_"
_SECONDS: Final = re.compile(r"[0-9]{1,10}")
_SECONDS_OR_MILLISECONDS: Final = re.compile(r"[0-9]{1,13}")
_MILLISECONDS_DIGITS: Final = 12
_MESSAGE_ID: Final = re.compile(r"[\x21-\x7e]{1,256}")
_NEVER: Final = frozenset({"product.payment"})
"""Fired by a page that anyone can call with any transaction: never looked at."""
_TESTS: Final = frozenset({"webhook.test", "test", "ping"})
_NETWORK_FIELDS: Final = ("network", "chain", "caip2")
_TRANSACTION_FIELDS: Final = (
    "transaction", "transactionHash", "transaction_hash", "txHash", "tx_hash", "hash", "signature",
)  # fmt: skip
_REPORTED: Final = {
    "payer": ("payer", "fromAddress", "from_address", "payer_wallet"),
    "payee": ("pay_to", "payTo", "toAddress", "to_address"),
    "amount": ("amount",),
    "asset": ("asset", "currency"),
    "scheme": ("scheme",),
    "status": ("status", "error_reason", "errorReason"),
    "id": ("id",),
}

Headers = Mapping[str, str]
"""By name in lower case."""


@dataclass(frozen=True, slots=True)
class Report:
    """One payment as it was told: which chain, which transaction, and what else was said, for people."""

    network: str
    transaction: str
    reported: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one webhook tells."""

    event: str
    reports: list[Report] = field(default_factory=list[Report])
    without_transaction: int = 0
    """Payments without any (nothing was charged, or a channel's voucher): there is nothing to prove."""


def check_signature(kind: SourceKind, secrets: Sequence[str], headers: Headers, body: bytes, now: datetime) -> None:
    """Was this body signed with one of the source's secrets? Raises `WebhookSignatureError`, `StaleWebhookError`."""
    match kind:
        case SourceKind.OPENFACILITATOR:
            given = headers.get("x-webhook-signature", "").lower()
            fits = _any(equal(given, _hex(secret.encode(), body)) for secret in secrets)
        case SourceKind.X402LAYER:
            timestamp = headers.get("x-x402-timestamp", "")
            given = headers.get("x-x402-signature", "").lower()
            signed = timestamp.encode("latin-1", "replace") + b"." + body
            fits = _any(equal(given, _hex(secret.encode(), signed)) for secret in secrets)
            if fits:
                _require_fresh(_time_of(timestamp), now)
        case SourceKind.STANDARD_WEBHOOKS | SourceKind.X402:
            fits = _standard(secrets, headers, body)
            if fits:
                _require_fresh(_time_of(headers.get("webhook-timestamp", "")), now)
        case SourceKind.SQLITE | SourceKind.POSTGRES | SourceKind.CHAIN:
            fits = False
    if not fits:
        raise WebhookSignatureError


def read(kind: SourceKind, body: bytes) -> Delivery:
    """What the body tells. Raises `InvalidWebhookError`."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidWebhookError(details="the body is no JSON") from error
    if not isinstance(decoded, dict):
        raise InvalidWebhookError(details="the body is no object")
    document = cast("dict[str, Any]", decoded)
    event = shown(document.get("event")) or shown(document.get("type"))
    if event is None:
        raise InvalidWebhookError(details="`event` or `type` is missing")
    if event in _NEVER or event in _TESTS:
        return Delivery(event)
    if kind is SourceKind.OPENFACILITATOR:
        # Others of its events are about other things.
        return _delivery(event, [document.get("transaction")]) if event == "payment.settled" else Delivery(event)
    data = document.get("data")
    if isinstance(data, dict) and "settlements" in data:
        several = cast("dict[str, Any]", data)["settlements"]
        if not isinstance(several, list) or len(cast("list[Any]", several)) > MAX_SETTLEMENTS:
            raise InvalidWebhookError(details=f"`data.settlements` is a list of {MAX_SETTLEMENTS} at most")
        return _delivery(event, cast("list[Any]", several))
    return _delivery(event, [data])


def is_test(event: str) -> bool:
    """Does somebody try whether deliveries arrive?"""
    return event in _TESTS


def standard_secret(secret: str) -> bytes:
    """The key that a secret of Standard Webhooks stands for. Raises `ValueError`."""
    try:
        return base64.b64decode(secret.removeprefix(_STANDARD_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret of Standard Webhooks is whsec_ and base64") from error


def _standard(secrets: Sequence[str], headers: Headers, body: bytes) -> bool:
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if _MESSAGE_ID.fullmatch(message_id) is None or _SECONDS.fullmatch(timestamp) is None:
        return False
    signed = f"{message_id}.{timestamp}.".encode("ascii") + body
    wanted = [base64.b64encode(hmac.digest(standard_secret(one), signed, "sha256")).decode("ascii") for one in secrets]
    given = [part.partition(",")[2] for part in headers.get("webhook-signature", "").split(" ")[:10] if part.startswith("v1,")]
    return _any(equal(mine, theirs) for mine in wanted for theirs in given)


def _any(checks: Iterable[bool]) -> bool:
    """All of them are made, so that the time taken does not tell which one fitted."""
    return any(list(checks))


def _hex(key: bytes, signed: bytes) -> str:
    return hmac.digest(key, signed, "sha256").hex()


def _time_of(text: str) -> datetime:
    if _SECONDS_OR_MILLISECONDS.fullmatch(text) is None:
        raise StaleWebhookError
    number = int(text)
    return datetime.fromtimestamp(number / 1000 if len(text) >= _MILLISECONDS_DIGITS else number, UTC)


def _require_fresh(at: datetime, now: datetime) -> None:
    if abs(now - at) > TOLERANCE:
        raise StaleWebhookError


def _delivery(event: str, entries: Sequence[Any]) -> Delivery:
    found = Delivery(event)
    without = 0
    for entry in entries:
        if not isinstance(entry, dict):
            raise InvalidWebhookError(details="the payment is missing")
        fields = cast("dict[str, Any]", entry)
        network = _first(fields, _NETWORK_FIELDS, _as_text)
        if network is None:
            raise InvalidWebhookError(details="the payment's `network` is missing")
        transaction = _first(fields, _TRANSACTION_FIELDS, _as_text)
        if transaction is None:
            without += 1
            continue
        reported = {name: _first(fields, names, _as_shown) for name, names in _REPORTED.items()}
        told = {name: value for name, value in reported.items() if value is not None}
        found.reports.append(Report(network, transaction, {"event": event, **told}))
    return Delivery(event, found.reports, without)


def _first(fields: Mapping[str, Any], names: Sequence[str], read_as: Callable[[Any], str | None]) -> str | None:
    return next((text for name in names if (text := read_as(fields.get(name))) is not None), None)


def _as_text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 200 else None  # noqa: PLR2004 - longer than any


def _as_shown(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return shown(str(value)) if abs(value) < 2**128 else None
    return shown(value)
