"""What sources, settlement assets, proven payments and reviews look like over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, field_serializer

from guerdon.activity.settlements.models import SettlementState, SourceKind
from guerdon.kit.api import AtomicText, Line, Wire
from guerdon.programs.schemas import MAX_GRACE_HOURS

MAX_SIGNERS = 50
MAX_NETWORKS = 20

Name = Annotated[Line, Field(min_length=1)]
NetworkText = Annotated[str, StringConstraints(min_length=1, max_length=64)]
AddressText = Annotated[str, StringConstraints(min_length=32, max_length=44, pattern=r"^[0-9A-Za-z]+$")]
Signers = Annotated[
    dict[NetworkText, Annotated[list[AddressText], Field(max_length=MAX_SIGNERS)]],
    Field(
        max_length=MAX_NETWORKS,
        description="By network (name or CAIP-2 id), the addresses that send its transactions: only what they sent counts.",
    ),
]
NetworkNames = Annotated[
    dict[NetworkText, NetworkText],
    Field(
        max_length=MAX_NETWORKS,
        description="What the facilitator calls networks that have another name here, with that name. For its reports alone.",
    ),
]
Secret = Annotated[
    str,
    StringConstraints(min_length=16, max_length=200, pattern=r"^[\x21-\x7e]+$"),
    Field(description="The facilitator's own secret, where it made one; else one is made."),
]
Location = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1000, pattern=r"^[\x21-\x7e]+$"),
    Field(description="Of a database that is read: an absolute path, or postgresql://… For operators of the platform."),
]


class NewSource(Wire):
    """A source to be made."""

    name: Name
    kind: SourceKind
    facilitator_id: Annotated[Line | None, Field(description="What the facilitator calls itself in its reports.")] = None
    signers: Signers = Field(default_factory=dict)
    network_names: NetworkNames = Field(default_factory=dict)
    secret: Secret | None = None
    location: Location | None = None
    reads_chain: Annotated[
        bool | None,
        Field(description="Read what its signers send from the chain too, to find lost reports; `chain` always does."),
    ] = None
    from_block: Annotated[
        dict[NetworkText, Annotated[int, Field(ge=0, le=2**62)]] | None,
        Field(max_length=MAX_NETWORKS, description="By network, where reading the chain begins; else at what is final now."),
    ] = None


class SourceChange(Wire):
    """What is to be changed; what is left out stays."""

    name: Name | None = None
    signers: Signers | None = None
    network_names: NetworkNames | None = None
    location: Location | None = None
    reads_chain: bool | None = None
    enabled: bool | None = None


class SecretView(Wire):
    """A secret without itself; `hint` is its end."""

    id: UUID
    hint: str
    created_at: datetime
    expires_at: datetime | None


class SourceView(Wire):
    """A source as it stands."""

    id: UUID
    name: str
    kind: SourceKind
    facilitator_id: str | None
    signers: dict[str, list[str]]
    network_names: dict[str, str]
    reads_chain: bool
    has_location: bool
    enabled: bool
    webhook_path: str | None
    """Where it reports to; null where it is read."""
    secrets: list[SecretView]
    last_report_at: datetime | None
    read_at: datetime | None
    read_error: str | None
    created_at: datetime


class SourceCreated(SourceView):
    """A new source with its secret, shown this once; null where nothing is signed."""

    secret: str | None


class SecretRotation(Wire):
    """How the present secret of a source goes out of use."""

    secret: Secret | None = None
    grace_hours: Annotated[int, Field(ge=0, le=MAX_GRACE_HOURS, description="How long the present secret stays valid.")] = 24
    revoke_old: Annotated[bool, Field(description="End the present secret at once: it has leaked.")] = False


class NewSecret(SecretView):
    """A secret, shown this once."""

    secret: str


class SettlementAssetInput(Wire):
    """A token whose payments count. Decimals and worth of one that is there are changed."""

    network: NetworkText
    address: AddressText
    symbol: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
    decimals: Annotated[int, Field(ge=0, le=36)]
    micro_usd_per_token: Annotated[
        int, Field(ge=1, le=10**15, description="What a whole token is worth; 1000000 is one dollar.")
    ] = 1_000_000
    enabled: bool = True


class SettlementAssetView(Wire):
    """A token whose payments count."""

    network: str
    address: str
    symbol: str
    decimals: int
    micro_usd_per_token: int
    enabled: bool


class SettlementView(Wire):
    """A proven payment. Amounts in the token's smallest unit, volume in micro-dollars."""

    id: UUID
    network: str
    transaction_hash: str
    place: int
    source_id: UUID
    asset_address: str
    payer: str
    payee: str
    amount_atomic: AtomicText
    volume_micro_usd: int
    block_number: int
    settled_at: datetime
    state: SettlementState
    account_id: UUID | None
    credited_at: datetime | None
    why_not: str | None

    @field_serializer("volume_micro_usd")
    def _digits(self, value: int) -> str:
        return str(value)


class FlagView(Wire):
    """Why a payment is looked at, with the evidence."""

    id: UUID
    settlement_id: UUID
    pattern: str
    evidence: dict[str, Any]
    verdict: Literal["approved", "rejected"] | None
    decided_by: str | None
    note: str | None
    decided_at: datetime | None
    flagged_at: datetime


class Review(Wire):
    """An operator's word on a payment."""

    note: Annotated[Line, Field(min_length=1)] = "reviewed"


class ThresholdsInput(Wire):
    """From when on payments are flagged; a 0 turns a pattern off."""

    window_hours: Annotated[int, Field(ge=1, le=24 * 30, description="How far back payments are looked at.")] = 72
    loop_hops: Annotated[int, Field(ge=0, le=4, description="Over how many payments what was paid may come back.")] = 3
    concentration_percent: Annotated[int, Field(ge=0, le=100, description="Of what a payee is paid, from one payer.")] = 90
    concentration_payments: Annotated[int, Field(ge=1, le=100)] = 20
    concentration_micro_usd: Annotated[int, Field(ge=0, le=2**53)] = 100_000_000
    burst_payments: Annotated[int, Field(ge=0, le=100, description="Of one payer in `burstSeconds`.")] = 60
    burst_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60


class DeniedAddressInput(Wire):
    """An address that earns nothing and is paid nothing."""

    address: AddressText
    reason: Name


class DeniedAddressView(Wire):
    """An address that earns nothing and is paid nothing."""

    address: str
    reason: str
    created_at: datetime
