"""What goes into a batch and what comes out: authenticated reports, and their outcomes.

Structs and not dataclasses: there are several for each event, and a frozen dataclass costs ten times as much to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from guerdon.earning.terms import Trust
from guerdon.kit.errors import GuerdonError


class Submission(msgspec.Struct, frozen=True, eq=False):
    """One report whose sender is known, with the hashes under which it would be known again (`keys.py`)."""

    identity: str
    event_type: str
    trust: Trust
    operation: str
    body_hash: bytes
    key: bytes | None = None
    """Of its idempotency key in its scope."""
    key_is_signed: bool = False
    """Whether the key is part of the body, which the signature covers; a header is not."""
    signature: bytes | None = None
    channel: str | None = None
    domain: str | None = None
    source_url: str | None = None
    client_address: str | None = None
    """Of a browser, IPv6 by /64; None for servers and operators."""
    metadata: Mapping[str, Any] | None = None
    metadata_json: str | None = None
    wallet_hint: str | None = None

    @property
    def lanes(self) -> tuple[str | bytes, ...]:
        """What no two batches in flight may have in common: the person, the key, the signature."""
        if self.key is None:
            return (self.identity,) if self.signature is None else (self.identity, self.signature)
        return (self.identity, self.key) if self.signature is None else (self.identity, self.key, self.signature)


class Booked(msgspec.Struct, frozen=True):
    """The event is in the books. A repeat gets what the first report got."""

    event_id: UUID
    event_type: str
    points: int
    account_id: UUID
    wallet_address: str
    delivery_id: UUID | None
    transaction_hash: str | None
    is_repeat: bool

    @property
    def wallet_created(self) -> bool:
        """Whether this event made the account: an account has the id of the event that it began with."""
        return self.event_id == self.account_id


Outcome = Booked | GuerdonError
