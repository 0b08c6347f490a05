"""What programs, their domains and keys look like over the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from guerdon.kit.api import BIGINT_MAX, AtomicInput, AtomicText, Line, Wire
from guerdon.programs.defaults import DEFAULT_ASSET
from guerdon.programs.models import AdminRole, ReversalPolicy

BrandId = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
"""A program's public id: an EVM address, compared without case."""
DomainText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=260)]
Name = Annotated[Line, Field(min_length=1)]
DailyCap = Annotated[int, Field(ge=0, le=BIGINT_MAX)]

MAX_DOMAINS = 100
MAX_GRACE_HOURS = 24 * 30
MAX_ADDRESS_WAIT_HOURS = 24 * 30


class NewProgram(Wire):
    """A program to be made; a brand id of its own is made up where none is given."""

    name: Name
    brand_id: BrandId | None = None
    domains: Annotated[list[DomainText], Field(max_length=MAX_DOMAINS)] = Field(default_factory=list)
    asset: Annotated[Line, Field(description="Symbol of what its rules pay in.")] = DEFAULT_ASSET


class ProgramChange(Wire):
    """What is to be changed; what is left out stays. A cap or budget that is null is taken away."""

    name: Name | None = None
    automation_enabled: Annotated[bool | None, Field(description="Off: every report is refused.")] = None
    unsigned_reports: Annotated[
        bool | None, Field(description="Accept reports without signature and Origin, as existing bots send them.")
    ] = None
    unsigned_lookups: Annotated[bool | None, Field(description="Tell a balance to whoever asks; never history.")] = None
    reversal_policy: ReversalPolicy | None = None
    synthetic_domain: Annotated[
        DomainText | None,
        Field(description="Addresses `{platform}_{id}@` this host name platform users. For operators of the platform."),
    ] = None
    claim_review_points: Annotated[
        DailyCap | None,
        Field(description="What an account may claim in 24 hours without an operator's approval; null: everything."),
    ] = None
    address_wait_hours: Annotated[
        int | None,
        Field(ge=0, le=MAX_ADDRESS_WAIT_HOURS, description="How long an account's second and later addresses wait for tokens."),
    ] = None
    browser_cap_program: Annotated[
        DailyCap | None, Field(description="Points a day that all browsers together may earn; null: no cap.")
    ] = None
    browser_cap_account: DailyCap | None = None
    browser_cap_ip: DailyCap | None = None
    gas_budget_wei: Annotated[
        AtomicInput | None,
        Field(
            description="What payouts may cost a day on each network, in wei: 10^-18 of its own coin, on Solana too; "
            "null: no limit. For operators of the platform."
        ),
    ] = None


PLATFORM_FIELDS = frozenset({"synthetic_domain", "gas_budget_wei"})
"""Of `ProgramChange`, what only an operator of the platform may set (SAFETY S3, S4, S25)."""


class ProgramView(Wire):
    """A program as it stands."""

    id: UUID
    brand_id: str
    name: str
    asset: str
    domains: list[str]
    automation_enabled: bool
    unsigned_reports: bool
    unsigned_lookups: bool
    reversal_policy: ReversalPolicy
    synthetic_domain: str | None
    browser_cap_program: int | None
    browser_cap_account: int | None
    browser_cap_ip: int | None
    gas_budget_wei: AtomicText | None
    claim_review_points: int | None
    address_wait_hours: int
    config_version: int
    created_at: datetime


class SecurityKeyView(Wire):
    """A security key without its secret; `hint` is the secret's end."""

    id: UUID
    hint: str
    created_at: datetime
    expires_at: datetime | None


class NewSecurityKey(SecurityKeyView):
    """A security key with its secret, shown this once: 64 hexadecimal digits, whose UTF-8 bytes sign."""

    security_key: str


class ProgramCreated(ProgramView):
    """A new program with its security key, shown this once."""

    security_key: str
    security_key_id: UUID


class Rotation(Wire):
    """How the present security key goes out of use."""

    grace_hours: Annotated[int, Field(ge=0, le=MAX_GRACE_HOURS, description="How long the present key stays valid.")] = 24
    revoke_old: Annotated[bool, Field(description="End the present key at once: it has leaked.")] = False


class NewDomain(Wire):
    """A host from which browsers report: exact, or `*.host`."""

    domain: DomainText


class DomainView(Wire):
    """A domain of the program."""

    domain: str
    created_at: datetime


class NewAdminKey(Wire):
    """An admin key to be made: of the platform, or of the program that `brandId` names."""

    name: Name
    role: AdminRole = AdminRole.PROGRAM
    brand_id: BrandId | None = None

    @model_validator(mode="after")
    def _scoped(self) -> Self:
        if (self.role is AdminRole.PROGRAM) != (self.brand_id is not None):
            message = "a key of role program names its brandId, a key of role platform names none"
            raise ValueError(message)
        return self


class AdminKeyView(Wire):
    """An admin key without its secret."""

    id: UUID
    name: str
    role: Literal["platform", "program"]
    brand_id: str | None
    created_at: datetime
    revoked_at: datetime | None


class AdminKeyCreated(AdminKeyView):
    """An admin key with its bearer token, shown this once."""

    token: str
