"""The roles and the database that an installation needs, made by a superuser: embedded at start, elsewhere once."""

from __future__ import annotations

import re

from guerdon.kit import driver

OWNER_ROLE = "guerdon_owner"
"""Owns the tables; only migrations connect as it."""
APP_ROLE = "guerdon_app"
"""What the application connects as: owns nothing, so that row-level security binds it (DESIGN section 4)."""
DATABASE = "guerdon"

_LOCK = 0x67756572_64726F6C
_ATTRIBUTES = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION"


async def ensure_roles(superuser_dsn: str) -> None:
    """Make both roles, or bring their attributes back to what they have to be. Passwords are left as they are."""
    connection = await driver.connect(superuser_dsn)
    try:
        # Roles belong to the cluster: two installations or test runs may be here at once.
        await connection.execute(f"SELECT pg_advisory_lock({_LOCK})")
        for role in (OWNER_ROLE, APP_ROLE):
            found = await connection.fetchrow("SELECT * FROM pg_roles WHERE rolname = $1", role)
            if found is None:
                await connection.execute(f"CREATE ROLE {role} {_ATTRIBUTES}")
            elif (
                found["rolsuper"] or found["rolbypassrls"] or found["rolcreatedb"] or found["rolcreaterole"]
                or found["rolreplication"] or not found["rolcanlogin"]
            ):  # fmt: skip
                await connection.execute(f"ALTER ROLE {role} {_ATTRIBUTES}")
    finally:
        await connection.close()


async def ensure_database(superuser_dsn: str, name: str, *, template: str | None = None) -> None:
    """Make the database `name`, owned by the owner's role and open to the application's; a no-op if it is there.

    `superuser_dsn` names any other database of the server; `template` is one to copy, which nobody is connected to.
    """
    for plain in (name, template or name):
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", plain):
            message = f"not a plain database name: {plain!r}"
            raise ValueError(message)
    connection = await driver.connect(superuser_dsn)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({_LOCK})")
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name) is None:
            # C: one order of text everywhere, and the fastest; nothing sorts for a human reader in SQL.
            origin = template or "template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
            await connection.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE} TEMPLATE {origin}")
        await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {APP_ROLE}")
    finally:
        await connection.close()
