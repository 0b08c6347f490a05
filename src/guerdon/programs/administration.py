"""Who may administer what: admin keys, the operator they stand for, and the program that a request is about.

The key of a program reaches that program and nothing else; assets, networks, treasuries and funding are the platform's
(SAFETY S3).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from guerdon.kit.database import ScopedSession
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, parse_uuid
from guerdon.programs import repository, repository_admin_keys
from guerdon.programs.errors import (
    InvalidAdminKeyError,
    InvalidBrandIdError,
    PlatformOnlyError,
    ProgramMismatchError,
    ProgramNotFoundError,
    ProgramRequiredError,
)
from guerdon.programs.models import AdminRole, Program

TOKEN_PREFIX: Final = "gk_"  # noqa: S105 - the prefix of all, and no secret
_SECRET_BYTES: Final = 32
_TOKEN = re.compile(r"gk_([0-9a-f]{32})_([0-9a-f]{64})")
_BRAND_ID = re.compile(r"0x[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Operator:
    """Who sent a request with a valid admin key. `program_id` is None for the platform's operators."""

    key_id: UUID
    role: AdminRole
    program_id: UUID | None

    @classmethod
    def of_this_machine(cls) -> Operator:
        """Whoever can read the installation's secrets, as the command line can, needs no key."""
        return cls(PLATFORM_PROGRAM_ID, AdminRole.PLATFORM, None)

    def require_platform(self) -> None:
        """Raise `PlatformOnlyError` for the key of a program."""
        if self.role is not AdminRole.PLATFORM:
            raise PlatformOnlyError


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A bearer token as shown once, and what is stored of it."""

    key_id: UUID
    token: str
    secret_hash: bytes


def new_token(key_id: UUID) -> AdminToken:
    """A new token `gk_<id>_<secret>` for the key of that id."""
    secret = secrets.token_hex(_SECRET_BYTES)
    return AdminToken(key_id, f"{TOKEN_PREFIX}{key_id.hex}_{secret}", hash_secret(secret))


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret. It has 256 bits of its own, so a fast hash is as good as a slow one."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def split_token(token: str) -> tuple[UUID, str] | None:
    """The key's id and the secret of a well-formed token."""
    match = _TOKEN.fullmatch(token)
    return None if match is None else (UUID(hex=match[1]), match[2])


async def operator_of(session: ScopedSession, token: str) -> Operator:
    """Who a bearer token stands for. Raises `InvalidAdminKeyError`, with the same words whatever is wrong with it."""
    parts = split_token(token)
    if parts is None:
        raise InvalidAdminKeyError
    key_id, secret = parts
    key = await repository_admin_keys.admin_key_by_id(session, key_id)
    given = hash_secret(secret)
    known = given if key is None else key.secret_hash
    # Compared in any case, so that the time taken does not tell whether the key exists.
    if not hmac.compare_digest(given, known) or key is None or key.revoked_at is not None:
        raise InvalidAdminKeyError
    return Operator(key.id, AdminRole(key.role), key.program_id)


def parse_brand_id(text: str) -> str:
    """A brand id in lower case, as it is stored."""
    brand_id = text.strip().lower()
    if _BRAND_ID.fullmatch(brand_id) is None:
        raise InvalidBrandIdError
    return brand_id


async def program_named(session: ScopedSession, name: str) -> Program:
    """The program of a brand id, or of its own id. Raises `InvalidBrandIdError` or `ProgramNotFoundError`."""
    program_id = parse_uuid(name.strip())
    if program_id is None:
        program = await repository.program_by_brand_id(session, parse_brand_id(name))
    else:
        program = await repository.program_by_id(session, program_id)
    if program is None or program.id == PLATFORM_PROGRAM_ID:
        raise ProgramNotFoundError
    return program


async def program_of_request(session: ScopedSession, operator: Operator, names: Iterable[str | None]) -> Program:
    """The program that a request is about: the key's own, else the one it names, else the only one there is (DESIGN section 7).

    `names` are the brand ids of header, path, query and body. The key of a program gets `ProgramMismatchError` for any
    other name, whether or not there is such a program: it learns nothing about others.
    """
    wanted = [name for name in names if name is not None]
    if operator.program_id is not None:
        own = await repository.program_by_id(session, operator.program_id)
        if own is None:
            raise InvalidAdminKeyError
        if any(name.strip().lower() not in {own.brand_id, str(own.id)} for name in wanted):
            raise ProgramMismatchError
        return own
    found: Program | None = None
    for name in wanted:
        program = await program_named(session, name)
        if found is not None and found.id != program.id:
            raise ProgramMismatchError
        found = program
    return found or await _only_program(session)


async def _only_program(session: ScopedSession) -> Program:
    programs = await repository.programs_after(session, None, 2)
    if len(programs) != 1:
        raise ProgramRequiredError
    return programs[0]
