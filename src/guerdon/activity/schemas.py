"""What a report looks like on the wire, and every reason to refuse its form (SAFETY S9); no I/O.

Who sent it is `authentication.py`; what it earns is `earning/decision.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from guerdon.accounts.identities import Identity, from_platform, normalise
from guerdon.activity.errors import InvalidEventError, MissingFieldsError
from guerdon.kit.errors import Details

MAX_DEPTH: Final = 16
"""Levels of nesting in a body; PostgreSQL's own limit is reached by thousands."""
MAX_INTEGER: Final = 2**63 - 1
MAX_URL_CHARACTERS: Final = 2048
MAX_HOST_CHARACTERS: Final = 253
MAX_CHANNEL_CHARACTERS: Final = 200
MAX_WALLET_CHARACTERS: Final = 128
MAX_KEY_CHARACTERS: Final = 255
MAX_HISTORY: Final = 50
DEFAULT_HISTORY: Final = 10
MAX_DIGITS: Final = 6
MISSING: Final = "brandId, eventType, and userEmail are required"

_BRAND_ID = re.compile(r"0x[0-9a-fA-F]{40}")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_]{1,50}")
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]+")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

_FLAGS: Final = {"": False, "0": False, "false": False, "1": True, "true": True}
"""A flag in the parameters of an address."""

_decode = msgspec.json.Decoder(dict).decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode

Problem = dict[str, str]


class ReportBody(msgspec.Struct, frozen=True):
    """One report as it was sent, each field of the right form. Nothing in it is believed yet."""

    brand_id: str | None
    """In lower case."""
    event_type: str
    person: str | tuple[str, str]
    """An email or `platform:id`, or (platform, id)."""
    wallet_hint: str | None
    domain: str | None
    source_url: str | None
    channel: str | None
    idempotency_key: str | None
    metadata: Mapping[str, Any] | None
    metadata_json: str | None
    """The metadata with sorted keys, as it is stored and compared."""

    def identity(self, synthetic_domains: frozenset[str]) -> Identity:
        """Who it is about; raises what `accounts/identities.py` raises."""
        return _identity(self.person, synthetic_domains)


class LookupBody(msgspec.Struct, frozen=True):
    """A question about one person."""

    brand_id: str | None
    person: str | tuple[str, str]
    history: int | None
    """How many of the last rewards; None for none."""

    def identity(self, synthetic_domains: frozenset[str]) -> Identity:
        """Who it is about; raises what `accounts/identities.py` raises."""
        return _identity(self.person, synthetic_domains)


def _identity(person: str | tuple[str, str], synthetic_domains: frozenset[str]) -> Identity:
    return normalise(person, synthetic_domains) if isinstance(person, str) else from_platform(*person)


def decode_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`; `InvalidEventError` for whatever is none, or could be read in two ways."""
    try:
        value = cast("dict[str, Any]", _decode(raw))
    except RecursionError as error:
        raise _invalid("body", f"is nested more than {MAX_DEPTH} levels deep") from error
    except msgspec.ValidationError as error:
        problem = "has a number that is out of range" if "out of range" in str(error) else "must be a JSON object"
        raise _invalid("body", problem) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid("body", "must be a JSON object in UTF-8") from error
    pairs = _count_pairs(value, "", 1)
    # A name given twice is read as the first by some and as the last by others: whoever signed it may mean either.
    # Every pair has one colon outside of strings; strings are only cut out where the quick count differs.
    if raw.count(b":") != pairs and _STRING.sub(b"", raw).count(b":") != pairs:
        raise _invalid("body", "names a field twice")
    return value


def _count_pairs(value: dict[str, Any], path: str, depth: int) -> int:
    """The number of name-value pairs in `value` and below; refuses what PostgreSQL could not store."""
    pairs = len(value)
    for name, item in value.items():
        if "\x00" in name:
            raise _invalid(path or "body", "has a name with the character U+0000")
        if isinstance(item, str):
            if "\x00" in item:
                raise _invalid(_below(path, name), "has the character U+0000")
        elif item is not None:
            pairs += _count_below(item, _below(path, name), depth)
    return pairs


def _count_below(item: object, path: str, depth: int) -> int:
    """The pairs in anything but a string at top level of its object."""
    if isinstance(item, int):
        if not -MAX_INTEGER <= item <= MAX_INTEGER:
            raise _invalid(path, "is a number that is out of range")
        return 0
    if isinstance(item, str):
        if "\x00" in item:
            raise _invalid(path, "has the character U+0000")
        return 0
    if not isinstance(item, dict | list):
        return 0
    if depth >= MAX_DEPTH:
        raise _invalid(path, f"is nested more than {MAX_DEPTH} levels deep")
    if isinstance(item, dict):
        return _count_pairs(cast("dict[str, Any]", item), path, depth + 1)
    return sum(_count_below(element, path, depth + 1) for element in cast("list[object]", item))


def _below(path: str, name: str) -> str:
    return f"{path}.{name[:64]}" if path else name[:64]


class _Fields:
    """Takes fields out of a decoded body and collects what is wrong with them."""

    __slots__ = ("problems", "value")

    def __init__(self, value: Mapping[str, Any]) -> None:
        self.value = value
        self.problems: list[Problem] = []

    def text(self, name: str, limit: int, *, pattern: re.Pattern[str] = _PRINTABLE, form: str = "text") -> str | None:
        """The string of that name; None if it is absent, null, empty or wrong."""
        item = self.value.get(name)
        if item is None or item == "":
            return None
        if not isinstance(item, str):
            self.problem(name, "must be a string")
        elif len(item) > limit:
            self.problem(name, f"has more than {limit} characters")
        elif pattern.fullmatch(item) is None:
            self.problem(name, f"must be {form}")
        else:
            return item
        return None

    def mapping(self, name: str) -> dict[str, Any] | None:
        """The object of that name; None if it is absent, null or wrong."""
        item = self.value.get(name)
        if item is None or isinstance(item, dict):
            return cast("dict[str, Any] | None", item)
        self.problem(name, "must be an object")
        return None

    def problem(self, name: str, message: str) -> None:
        self.problems.append({"field": name, "message": message})


def parse_report(value: Mapping[str, Any]) -> ReportBody:
    """The report in a decoded body. Unknown fields are ignored; every wrong one is named in the error's details."""
    fields = _Fields(value)
    brand_id = fields.text("brandId", 64, pattern=_BRAND_ID, form="0x and 40 hexadecimal digits")
    event_type = fields.text("eventType", 50, pattern=_EVENT_TYPE, form="1 to 50 letters, digits or underscores")
    person = _person(fields)
    wallet_hint = fields.text("userWallet", MAX_WALLET_CHARACTERS, form="a wallet address")
    domain = fields.text("domain", MAX_HOST_CHARACTERS, form="a host name")
    source_url = _source_url(fields)
    channel = fields.text("channel_id", MAX_CHANNEL_CHARACTERS, form="a channel's id or name")
    if channel is None:
        channel = fields.text("channelId", MAX_CHANNEL_CHARACTERS, form="a channel's id or name")
    idempotency_key = fields.text("idempotencyKey", MAX_KEY_CHARACTERS, form="printable characters")
    metadata = fields.mapping("metadata")
    if fields.problems:
        raise invalid_event(fields.problems)
    if event_type is None or person is None:
        missing = [name for name, found in (("eventType", event_type), ("userEmail", person)) if found is None]
        raise MissingFieldsError(MISSING, details=[{"field": name, "message": "is required"} for name in missing])
    return ReportBody(
        brand_id=None if brand_id is None else brand_id.lower(),
        event_type=event_type,
        person=person,
        wallet_hint=wallet_hint,
        domain=domain,
        source_url=source_url,
        channel=channel,
        idempotency_key=idempotency_key,
        metadata=metadata,
        metadata_json=None if metadata is None else _encode_sorted(metadata).decode("utf-8"),
    )


def parse_lookup(value: Mapping[str, Any]) -> LookupBody:
    """The question in a decoded body, or in the parameters of an address, where everything is text."""
    fields = _Fields(value)
    brand_id = fields.text("brandId", 64, pattern=_BRAND_ID, form="0x and 40 hexadecimal digits")
    person = _person(fields)
    history = _history(fields)
    if fields.problems:
        raise invalid_event(fields.problems)
    if person is None:
        raise MissingFieldsError("brandId and userEmail are required", details=[{"field": "userEmail", "message": "is required"}])
    return LookupBody(None if brand_id is None else brand_id.lower(), person, history)


def _history(fields: _Fields) -> int | None:
    """How many rewards are asked for; None if `includeHistory` does not ask for any."""
    wanted, limit = fields.value.get("includeHistory"), fields.value.get("historyLimit")
    if not (wanted is None or isinstance(wanted, bool) or (isinstance(wanted, str) and wanted in _FLAGS)):
        fields.problem("includeHistory", "must be true or false")
        return None
    if isinstance(limit, str) and limit.isascii() and limit.isdigit() and len(limit) < MAX_DIGITS:
        limit = int(limit)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_HISTORY):
        fields.problem("historyLimit", f"must be 1 to {MAX_HISTORY}")
        return None
    is_wanted = _FLAGS[wanted] if isinstance(wanted, str) else bool(wanted)
    return (limit or DEFAULT_HISTORY) if is_wanted else None


def canonical_report(body: ReportBody, identity: str) -> bytes:
    """What makes two reports the same one, whatever their white space, order of fields, way of naming the person or path."""
    return _encode_sorted((body.event_type, identity, body.channel, body.source_url, body.metadata_json))


def _person(fields: _Fields) -> str | tuple[str, str] | None:
    """`userEmail`, else `userIdentifier`: a string, or `{platform, platformUserId}`."""
    email = fields.text("userEmail", 254, form="an email address")
    identifier = fields.value.get("userIdentifier")
    if not isinstance(identifier, dict):
        text = fields.text("userIdentifier", 254, form="an email address or `platform:id`")
        return email if email is not None else text
    parts = _Fields(cast("dict[str, Any]", identifier))
    platform, user_id = parts.text("platform", 64), parts.text("platformUserId", 200)
    for name, part in (("platform", platform), ("platformUserId", user_id)):
        if part is None and not parts.problems:
            parts.problem(name, "is required")
    for problem in parts.problems:
        fields.problem(f"userIdentifier.{problem['field']}", problem["message"])
    if email is not None:
        return email
    return None if platform is None or user_id is None else (platform, user_id)


def _source_url(fields: _Fields) -> str | None:
    url = fields.text("sourceUrl", MAX_URL_CHARACTERS, form="an http or https address")
    if url is not None and host_of(url) is None:
        fields.problem("sourceUrl", "must be an http or https address")
        return None
    return url


def host_of(url: str) -> str | None:
    """The host of an http or https address or origin, in lower case and without port; None if it has none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host:
        return None
    # urlsplit takes the brackets off an IPv6 address; domains are stored with them.
    return f"[{host}]" if ":" in host else host.removesuffix(".")


def parse_key(value: bytes) -> str | None:
    """An idempotency key from a header; None where there is none."""
    text = value.decode("latin-1").strip()
    if not text:
        return None
    if len(text) > MAX_KEY_CHARACTERS or _PRINTABLE.fullmatch(text) is None:
        raise _invalid("Idempotency-Key", f"must be 1 to {MAX_KEY_CHARACTERS} printable characters")
    return text


def _invalid(field: str, message: str) -> InvalidEventError:
    return invalid_event([{"field": field, "message": message}])


def invalid_event(problems: list[Problem]) -> InvalidEventError:
    """The refusal of a malformed event, with a message that names each field."""
    message = "; ".join(f"{problem['field']} {problem['message']}" for problem in problems)
    details: Details = problems
    return InvalidEventError(message, details=details)
