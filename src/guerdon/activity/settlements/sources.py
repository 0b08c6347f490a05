"""Use cases of sources: making and changing them, their secrets, what is opened of them. Nothing here commits.

A secret is shown once and stored encrypted; two are valid while one is rotated out. What a source reports is `reporting.py`'s.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from guerdon.activity.settlements import repository_hints, repository_sources
from guerdon.activity.settlements.errors import (
    InvalidSignerError,
    NoWebhookError,
    SettlementNetworkError,
    SourceExistsError,
    SourceLocationError,
    SourceNotFoundError,
)
from guerdon.activity.settlements.models import Source, SourceKind, SourceSecret
from guerdon.activity.settlements.names import Network, Networks, address_on, network_of
from guerdon.activity.settlements.schemas import (
    NewSecret,
    NewSource,
    SecretRotation,
    SecretView,
    SourceChange,
    SourceCreated,
    SourceView,
)
from guerdon.activity.settlements.webhooks import standard_secret
from guerdon.activity.settlements.work import CREDIT, READ
from guerdon.chains.networks import EIP155
from guerdon.kit.database import ScopedSession
from guerdon.kit.errors import InvalidRequestError
from guerdon.kit.ids import uuid7
from guerdon.kit.jobs import wake
from guerdon.kit.secrets import KeyRing
from guerdon.programs.administration import Operator

REPORTING: Final = frozenset({SourceKind.OPENFACILITATOR, SourceKind.STANDARD_WEBHOOKS, SourceKind.X402, SourceKind.X402LAYER})
"""Kinds that send signed reports."""
LOCATED: Final = {SourceKind.SQLITE: "sqlite", SourceKind.POSTGRES: "postgres"}
_STANDARD: Final = frozenset({SourceKind.STANDARD_WEBHOOKS, SourceKind.X402})
_SECRET_BYTES: Final = 32
_LEAST_SECRET_BYTES: Final = 16
_HINT_CHARACTERS: Final = 4
STANDARD_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class Maker:
    """What making a source takes from its surroundings."""

    ring: KeyRing
    operator: Operator
    now: datetime


async def known_networks(session: ScopedSession) -> Networks:
    """The networks that are set up here."""
    return Networks.of(network_of(row) for row in await repository_sources.networks(session))


async def create_source(session: ScopedSession, program_id: UUID, new: NewSource, maker: Maker) -> SourceCreated:
    """A new source. Raises `SourceExistsError`, `InvalidSignerError`, `SettlementNetworkError`, `SourceLocationError`."""
    networks = await known_networks(session)
    source_id = uuid7()
    values: dict[str, Any] = {
        "program_id": program_id,
        "id": source_id,
        "name": new.name,
        "kind": new.kind,
        "facilitator_id": new.facilitator_id,
        "signers": _signers(networks, new.signers),
        "network_names": _network_names(networks, new.network_names),
        "reads_chain": new.kind is SourceKind.CHAIN if new.reads_chain is None else new.reads_chain,
        "location_encrypted": _sealed_location(maker, program_id, source_id, new.kind, new.location),
        "cursor": _beginning(networks, new.from_block or {}),
        "created_at": maker.now,
        "updated_at": maker.now,
    }
    made = await repository_sources.insert_source(session, values)
    if made is None:
        raise SourceExistsError
    shown = None
    if new.kind in REPORTING:
        shown = (await _add_secret(session, made, maker, new.secret)).secret
    await wake(session, CREDIT, program_id)
    await _wake_reader(session, made)
    view = await source_view(session, made, maker.now)
    return SourceCreated(**view.model_dump(), secret=shown)


async def change_source(
    session: ScopedSession, program_id: UUID, source_id: UUID, change: SourceChange, maker: Maker
) -> SourceView:
    """Change what is said and keep the rest. Reports that nobody known had sent are looked at again for new signers.

    One that is switched off is not believed, whatever was reported before.
    """
    source = await repository_sources.source(session, program_id, source_id, lock=True)
    if source is None:
        raise SourceNotFoundError
    kind = SourceKind(source.kind)
    values: dict[str, Any] = {"updated_at": maker.now}
    if change.name is not None and change.name != source.name:
        if await repository_sources.source_named(session, program_id, change.name) is not None:
            raise SourceExistsError
        values["name"] = change.name
    networks = await known_networks(session)
    if change.signers is not None:
        values["signers"] = _signers(networks, change.signers)
    if change.network_names is not None:
        values["network_names"] = _network_names(networks, change.network_names)
    if change.location is not None:
        values["location_encrypted"] = _sealed_location(maker, program_id, source_id, kind, change.location)
        values["cursor"] = {name: place for name, place in source.cursor.items() if name != "rows"}
    if change.reads_chain is not None:
        values["reads_chain"] = change.reads_chain or kind is SourceKind.CHAIN
    values |= {} if change.enabled is None else {"enabled": change.enabled}
    if change.signers is not None or change.enabled:
        await repository_hints.look_again_at_rejected(session, program_id, source_id, maker.now)
    await repository_sources.set_source(session, program_id, source_id, values)
    changed = await repository_sources.source(session, program_id, source_id)
    if changed is None:
        raise SourceNotFoundError
    await _wake_reader(session, changed)
    return await source_view(session, changed, maker.now)


async def rotate_secret(
    session: ScopedSession, program_id: UUID, source_id: UUID, rotation: SecretRotation, maker: Maker
) -> NewSecret:
    """A new secret; the present one stays valid for the grace time, and any older one ends now: two are valid at most."""
    source = await repository_sources.source(session, program_id, source_id, lock=True)
    if source is None:
        raise SourceNotFoundError
    if SourceKind(source.kind) not in REPORTING:
        raise NoWebhookError
    valid = await repository_sources.valid_secrets(session, program_id, source_id, maker.now)
    grace = timedelta(0) if rotation.revoke_old else timedelta(hours=rotation.grace_hours)
    await repository_sources.expire_secrets(session, program_id, [one.id for one in valid[:1]], maker.now + grace)
    await repository_sources.expire_secrets(session, program_id, [one.id for one in valid[1:]], maker.now)
    return await _add_secret(session, source, maker, rotation.secret)


async def source_view(session: ScopedSession, source: Source, now: datetime) -> SourceView:
    """A source with its valid secrets' ends."""
    return (await source_views(session, source.program_id, [source], now))[0]


async def source_views(session: ScopedSession, program_id: UUID, sources: Sequence[Source], now: datetime) -> list[SourceView]:
    """The same for several."""
    known = await repository_sources.secrets_of(session, program_id, [source.id for source in sources], now)
    return [_view(source, known.get(source.id, [])) for source in sources]


async def found_source(session: ScopedSession, program_id: UUID, source_id: UUID) -> Source:
    """One source of the program. Raises `SourceNotFoundError`."""
    source = await repository_sources.source(session, program_id, source_id)
    if source is None:
        raise SourceNotFoundError
    return source


async def open_secrets(session: ScopedSession, ring: KeyRing, program_id: UUID, source_id: UUID, now: datetime) -> list[str]:
    """What the source's reports may be signed with now, as it was shown."""
    valid = await repository_sources.valid_secrets(session, program_id, source_id, now)
    return [ring.decrypt(one.secret_encrypted, _context(program_id, one.id)).decode("ascii") for one in valid]


def open_location(ring: KeyRing, source: Source) -> str | None:
    """Where the database is that is read."""
    if source.location_encrypted is None:
        return None
    return ring.decrypt(source.location_encrypted, _location_context(source.program_id, source.id)).decode("ascii")


async def rewrap_sources(session: ScopedSession, ring: KeyRing, program_id: UUID) -> int:
    """Seal what belongs to sources under the current master key; how many were under an older one."""
    changed = 0
    for secret in await repository_sources.all_secrets(session, program_id):
        if ring.opens(secret.secret_encrypted) and not ring.is_current(secret.secret_encrypted):
            secret.secret_encrypted = ring.rewrap(secret.secret_encrypted, _context(program_id, secret.id))
            changed += 1
    for source in await repository_sources.all_locations(session, program_id):
        sealed = source.location_encrypted
        if sealed is not None and ring.opens(sealed) and not ring.is_current(sealed):
            source.location_encrypted = ring.rewrap(sealed, _location_context(program_id, source.id))
            changed += 1
    await session.flush()
    return changed


async def _add_secret(session: ScopedSession, source: Source, maker: Maker, given: str | None) -> NewSecret:
    kind, secret_id = SourceKind(source.kind), uuid7()
    if given is not None and kind in _STANDARD:
        _require_standard(given)
    shown = given or _new_secret(kind)
    secret = await repository_sources.insert_secret(
        session,
        {
            "program_id": source.program_id,
            "id": secret_id,
            "source_id": source.id,
            "secret_encrypted": maker.ring.encrypt(shown.encode("ascii"), _context(source.program_id, secret_id)),
            "hint": shown[-_HINT_CHARACTERS:],
            "created_at": maker.now,
        },
    )
    return NewSecret(**_secret_view(secret).model_dump(), secret=shown)


def _new_secret(kind: SourceKind) -> str:
    if kind in _STANDARD:
        return STANDARD_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")
    return secrets.token_hex(_SECRET_BYTES)


def _require_standard(secret: str) -> None:
    try:
        key = standard_secret(secret)
    except ValueError as error:
        raise InvalidRequestError(details=[{"field": "secret", "message": str(error)}]) from error
    if len(key) < _LEAST_SECRET_BYTES:
        message = f"a secret has {_LEAST_SECRET_BYTES} bytes at least"
        raise InvalidRequestError(details=[{"field": "secret", "message": message}])


def _signers(networks: Networks, given: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text, addresses in given.items():
        network = _network(networks, text)
        for address in addresses:
            stored = address_on(network.namespace, address)
            if stored is None:
                raise InvalidSignerError(details={"network": network.name, "address": address})
            known = found.setdefault(network.name, [])
            if stored not in known:
                known.append(stored)
    return found


def _network_names(networks: Networks, given: Mapping[str, str]) -> dict[str, str]:
    return {theirs: _network(networks, ours).name for theirs, ours in given.items()}


def _network(networks: Networks, text: str) -> Network:
    found = networks.find(text)
    if found is None:
        raise SettlementNetworkError(f"{text} is not set up here; add it with `guerdon network add`.")
    return found


def _beginning(networks: Networks, blocks: Mapping[str, int]) -> dict[str, Any]:
    chain: dict[str, Any] = {}
    for text, block in blocks.items():
        network = _network(networks, text)
        by_block = network.namespace == EIP155
        chain[network.name] = {"final": block - 1, "head": block - 1} if by_block else {"from_slot": block}
    return {"chain": chain} if chain else {}


def _sealed_location(maker: Maker, program_id: UUID, source_id: UUID, kind: SourceKind, location: str | None) -> bytes | None:
    if (kind in LOCATED) != (location is not None):
        raise SourceLocationError
    if location is None:
        return None
    # Whoever names a file or a database has this installation read it: nobody but the platform's operators may.
    maker.operator.require_platform()
    parts = urlsplit(location)
    fits = (
        parts.scheme in {"postgres", "postgresql"}
        if kind is SourceKind.POSTGRES
        else PurePosixPath(location).is_absolute() and ".." not in PurePosixPath(location).parts
    )
    if not fits:
        raise SourceLocationError
    return maker.ring.encrypt(location.encode("ascii"), _location_context(program_id, source_id))


async def _wake_reader(session: ScopedSession, source: Source) -> None:
    if source.enabled and (source.reads_chain or source.location_encrypted is not None):
        await wake(session, READ, source.program_id)


def _view(source: Source, secrets_of_it: Sequence[SourceSecret]) -> SourceView:
    kind = SourceKind(source.kind)
    return SourceView(
        id=source.id,
        name=source.name,
        kind=kind,
        facilitator_id=source.facilitator_id,
        signers=source.signers,
        network_names=source.network_names,
        reads_chain=source.reads_chain,
        has_location=source.location_encrypted is not None,
        enabled=source.enabled,
        webhook_path=f"/webhooks/settlements/{source.id}" if kind in REPORTING else None,
        secrets=[_secret_view(one) for one in secrets_of_it],
        last_report_at=source.last_report_at,
        read_at=source.read_at,
        read_error=source.read_error,
        created_at=source.created_at,
    )


def _secret_view(secret: SourceSecret) -> SecretView:
    return SecretView(id=secret.id, hint=secret.hint, created_at=secret.created_at, expires_at=secret.expires_at)


def _context(program_id: UUID, secret_id: UUID) -> bytes:
    # Bound to its row: a ciphertext copied to another program's row does not open.
    return f"source secret {program_id} {secret_id}".encode("ascii")


def _location_context(program_id: UUID, source_id: UUID) -> bytes:
    return f"source location {program_id} {source_id}".encode("ascii")
