"""Use cases of programs: making them, changing them, their domains. Nothing here commits.

Security keys are in `security_keys.py`, admin keys in `admin_keys.py`, funding in `funding.py`; the rules that a new
program begins with are put in by `earning/onboarding.py`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import Asset
from guerdon.ledger.repository import asset_by_symbol
from guerdon.programs import defaults, repository
from guerdon.programs.administration import Operator, parse_brand_id
from guerdon.programs.domains import parse_domain
from guerdon.programs.errors import (
    AssetNotFoundError,
    BrandIdTakenError,
    DomainNotFoundError,
    InvalidDomainError,
    ProgramNotFoundError,
)
from guerdon.programs.models import Program
from guerdon.programs.schemas import MAX_DOMAINS, PLATFORM_FIELDS, NewProgram, ProgramChange, ProgramView

_NULLABLE = frozenset(
    {"synthetic_domain", "browser_cap_program", "browser_cap_account", "browser_cap_ip", "gas_budget_wei", "claim_review_points"}
)


async def asset_of(session: ScopedSession, symbol: str) -> Asset:
    """The asset of that symbol. Raises `AssetNotFoundError`."""
    asset = await asset_by_symbol(session, symbol)
    if asset is None:
        message = f"No asset is called {symbol}; `guerdon asset list` shows those that there are."
        raise AssetNotFoundError(message)
    return asset


async def configuration_changed(session: ScopedSession, program_id: UUID) -> None:
    """Say that a program, its domains, keys or rules change: first, since it puts such changes one after the other."""
    if await repository.raise_config_version(session, program_id) is None:
        raise ProgramNotFoundError
    await repository.notify_config(session, program_id)


async def create_program(session: PlatformSession, new: NewProgram, now: datetime, *, development: bool) -> Program:
    """Make a program with its domains. Raises `BrandIdTakenError`, `AssetNotFoundError`, `InvalidDomainError`."""
    domains = sorted({parse_domain(domain, development=development) for domain in new.domains})
    asset = await asset_of(session, new.asset)
    brand_id = f"0x{secrets.token_hex(20)}" if new.brand_id is None else parse_brand_id(new.brand_id)
    program = await repository.insert_program(
        session,
        {
            "id": uuid7(),
            "brand_id": brand_id,
            "name": new.name,
            "asset_id": asset.id,
            "browser_cap_program": defaults.BROWSER_CAP_PROGRAM,
            "browser_cap_account": defaults.BROWSER_CAP_ACCOUNT,
            "browser_cap_ip": defaults.BROWSER_CAP_ADDRESS,
            "created_at": now,
        },
    )
    if program is None:
        raise BrandIdTakenError
    for domain in domains:
        await repository.insert_domain(session, program.id, domain, now)
    await repository.notify_config(session, program.id)
    return program


async def change_program(
    session: ScopedSession, operator: Operator, program_id: UUID, change: ProgramChange, *, development: bool
) -> Program:
    """Change what was said. Raises `PlatformOnlyError` where the key of a program asks for more than its own (SAFETY S3)."""
    said = change.model_fields_set
    if said & PLATFORM_FIELDS:
        operator.require_platform()
    values: dict[str, Any] = {
        name: getattr(change, name) for name in said if getattr(change, name) is not None or name in _NULLABLE
    }
    synthetic = values.get("synthetic_domain")
    if synthetic is not None:
        values["synthetic_domain"] = _synthetic_domain(synthetic, development=development)
    await configuration_changed(session, program_id)
    program = await (
        repository.update_program(session, program_id, values) if values else repository.program_by_id(session, program_id)
    )
    if program is None:
        raise ProgramNotFoundError
    return program


def _synthetic_domain(text: str, *, development: bool) -> str:
    domain = parse_domain(text, development=development)
    if domain.startswith("*.") or "." not in domain:
        message = "a synthetic domain is one host name, such as users.example.com"
        raise InvalidDomainError(message, details={"field": "syntheticDomain"})
    return domain


async def add_domain(session: ScopedSession, program_id: UUID, domain: str, now: datetime, *, development: bool) -> str:
    """Register a host; one that is there already stays. Raises `InvalidDomainError`."""
    parsed = parse_domain(domain, development=development)
    await configuration_changed(session, program_id)
    await repository.insert_domain(session, program_id, parsed, now)
    if len(await repository.domains_of(session, program_id)) > MAX_DOMAINS:
        message = f"a program has at most {MAX_DOMAINS} domains; use `*.` for hosts below one"
        raise InvalidDomainError(message, details={"field": "domain"})
    return parsed


async def remove_domain(session: ScopedSession, program_id: UUID, domain: str) -> None:
    """Take a host away. Raises `DomainNotFoundError`."""
    await configuration_changed(session, program_id)
    if not await repository.delete_domain(session, program_id, domain.strip().lower()):
        raise DomainNotFoundError


async def program_view(session: ScopedSession, program: Program) -> ProgramView:
    """A program as it is shown."""
    return (await program_views(session, [program]))[0]


async def program_views(session: ScopedSession, programs: Sequence[Program]) -> list[ProgramView]:
    """Programs as they are shown, with the symbols of their assets and their domains."""
    symbols = await repository.asset_symbols(session, {program.asset_id for program in programs})
    domains = await repository.domains_by_program(session, [program.id for program in programs])
    columns = [name for name in ProgramView.model_fields if name not in {"asset", "domains"}]
    return [
        ProgramView.model_validate(
            {
                **{name: getattr(program, name) for name in columns},
                "asset": symbols[program.asset_id],
                "domains": domains.get(program.id, []),
            }
        )
        for program in programs
    ]


async def changed_program_view(
    session: ScopedSession, operator: Operator, program_id: UUID, change: ProgramChange, *, development: bool
) -> ProgramView:
    """`change_program`, and the program as it is shown then."""
    program = await change_program(session, operator, program_id, change, development=development)
    return await program_view(session, program)


async def add_domain_view(
    session: ScopedSession, program_id: UUID, domain: str, now: datetime, *, development: bool
) -> ProgramView:
    """`add_domain`, and the program as it is shown then."""
    await add_domain(session, program_id, domain, now, development=development)
    program = await repository.program_by_id(session, program_id)
    if program is None:
        raise ProgramNotFoundError
    return await program_view(session, program)
