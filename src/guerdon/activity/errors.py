"""What intake and its neighbours refuse, and the refusals of the decision (`earning/decision.py`) as errors with texts.

Titles are those that existing clients of the event handler know.
"""

from __future__ import annotations

from guerdon.earning.decision import Refused
from guerdon.kit.errors import GuerdonError


class MissingFieldsError(GuerdonError, status=400, code="MISSING_FIELDS", title="Missing required fields"):
    """What names the program, the event or the person is missing; `details` says which field."""


class InvalidEventError(GuerdonError, status=400, code="INVALID_EVENT", title="Invalid event data"):
    """The event is malformed; `details` names each field and what it should be."""


class InvalidSignatureError(GuerdonError, status=401, code="INVALID_SIGNATURE", title="Unauthorized"):
    """The signature does not fit; sign `timestampMs:brandId:rawBody` with a valid security key of the program."""


class StaleSignatureError(GuerdonError, status=401, code="STALE_SIGNATURE", title="Unauthorized"):
    """`X-Loyalteez-Timestamp` is more than five minutes away from now; sign each request when it is sent."""


class ReplayedSignatureError(GuerdonError, status=401, code="REPLAYED_SIGNATURE", title="Unauthorized"):
    """This signature was used for another request; sign each request anew."""


class ProofRequiredError(GuerdonError, status=401, code="PROOF_REQUIRED", title="Unauthorized"):
    """Sign the request, or send it from a page of one of the program's domains; this program takes no unsigned reports."""


class DomainNotAuthorizedError(GuerdonError, status=403, code="DOMAIN_NOT_AUTHORIZED", title="Domain not authorized"):
    """This request comes from a domain that the program has not registered; add it with `guerdon program update`."""


class TooManyEventsError(GuerdonError, status=400, code="TOO_MANY_EVENTS", title="Too many events"):
    """A JSON request takes 100 events, an NDJSON request 10,000; split it."""


class BookingFailedError(GuerdonError, status=503, code="BOOKING_FAILED", title="Service unavailable"):
    """This event could not be booked, and nothing was; send the same request again after `Retry-After`."""


class EventNotFoundError(GuerdonError, status=404, code="EVENT_NOT_FOUND", title="Not found"):
    """No event of this program has that id or idempotency key."""


class IdempotencyKeyRequiredError(GuerdonError, status=400, code="IDEMPOTENCY_KEY_REQUIRED", title="Idempotency key required"):
    """Taking back a part could be meant once or twice; send the header `Idempotency-Key`."""


class ReversalTooLargeError(GuerdonError, status=409, code="REVERSAL_TOO_LARGE", title="Reversal too large"):
    """More is asked back than is left of the event's reward; `details` says how much is."""


class AutomationDisabledError(GuerdonError, status=403, code="AUTOMATION_DISABLED", title="Automation disabled"):
    """Automation is off for this program; its operator can turn it on."""


class EventTypeNotConfiguredError(GuerdonError, status=400, code="EVENT_TYPE_NOT_CONFIGURED", title="Event type not configured"):
    """The program has no rule for this event type."""


class EventDisabledError(GuerdonError, status=403, code="EVENT_DISABLED", title="Event disabled"):
    """Rewards for this event type are switched off."""


class NotOpenToBrowsersError(GuerdonError, status=403, code="NOT_OPEN_TO_BROWSERS", title="Not open to browsers"):
    """This event type is accepted from servers only: sign the request."""


class EmailRequiredError(GuerdonError, status=400, code="EMAIL_REQUIRED", title="Invalid event data"):
    """This event type needs the user's own email address."""


class ChannelRequiredError(GuerdonError, status=403, code="CHANNEL_REQUIRED", title="Channel required"):
    """This event type is limited to channels: name one in `channel_id`."""


class ChannelNotAllowedError(GuerdonError, status=403, code="CHANNEL_NOT_ALLOWED", title="Channel not allowed"):
    """This event type earns nothing in this channel."""


class InvalidMetadataError(GuerdonError, status=400, code="INVALID_METADATA", title="Invalid event data"):
    """The field of the metadata that the reward is computed from is missing or no integer."""


class DuplicateEventError(GuerdonError, status=409, code="DUPLICATE_EVENT", title="Duplicate event detected"):
    """The same event type and user came within 60 seconds; send an idempotency key with what is no duplicate."""


class CooldownActiveError(GuerdonError, status=429, code="COOLDOWN_ACTIVE", title="Rate limit exceeded"):
    """This user was rewarded for this event type already; `Retry-After` says when it earns again."""


class ClaimLimitReachedError(GuerdonError, status=429, code="CLAIM_LIMIT_REACHED", title="Rate limit exceeded"):
    """This reward has been claimed as often as its rule allows."""


class DailyCapReachedError(GuerdonError, status=429, code="DAILY_CAP_REACHED", title="Rate limit exceeded"):
    """The daily limit of rewards is reached; it starts anew at midnight UTC."""


class InsufficientBalanceError(GuerdonError, status=400, code="INSUFFICIENT_BALANCE", title="Insufficient balance"):
    """The program has no funds left for this reward; its operator must fund it."""


_REFUSALS: dict[str, type[GuerdonError]] = {
    error.code: error
    for error in (
        AutomationDisabledError,
        EventTypeNotConfiguredError,
        EventDisabledError,
        NotOpenToBrowsersError,
        EmailRequiredError,
        ChannelRequiredError,
        ChannelNotAllowedError,
        InvalidMetadataError,
        DuplicateEventError,
        CooldownActiveError,
        ClaimLimitReachedError,
        DailyCapReachedError,
        InsufficientBalanceError,
    )
}


def refusal(refused: Refused) -> GuerdonError:
    """What the caller is told of a refusal."""
    return _REFUSALS[refused.code](refused.message, details=refused.details, retry_after=refused.retry_after_s)
