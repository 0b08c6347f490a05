"""What is asked of the database itself: who we are in it, what protects its rows, its clock. One named statement each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from guerdon.kit import driver
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import PLATFORM_PROGRAM_ID


async def server_version(connection: RawConnection) -> int:
    """As 180004 for 18.4."""
    return int(await connection.fetchval("select current_setting('server_version_num')::int"))


async def clock(connection: RawConnection) -> datetime:
    """The time by the database."""
    return await connection.fetchval("select clock_timestamp()")


async def own_role(connection: RawConnection) -> driver.Row | None:
    """What the role that we connect as may do besides what it was granted."""
    return await connection.fetchrow(
        "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user"
    )


async def owned_tables(connection: RawConnection) -> list[str]:
    """Tables that our role owns, itself or by membership in their owner."""
    rows = await connection.fetch(
        """
        select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relkind in ('r', 'p') and pg_has_role(current_user, c.relowner, 'member')
        order by 1
        """
    )
    return [row["relname"] for row in rows]


async def unprotected_tables(connection: RawConnection, names: Sequence[str]) -> list[str]:
    """Those of `names` that are missing, or whose row-level security is off or without a policy."""
    rows = await connection.fetch(
        """
        select wanted.name from unnest($1::text[]) wanted(name)
        left join pg_class c on c.relname = wanted.name and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        where c.oid is null or not c.relrowsecurity or not exists (select 1 from pg_policy p where p.polrelid = c.oid)
        order by 1
        """,
        list(names),
    )
    return [row["name"] for row in rows]


async def changeable(connection: RawConnection, names: Sequence[str]) -> list[str]:
    """Those of `names` that our role may update, delete or truncate."""
    rows = await connection.fetch(
        """
        select wanted.name from unnest($1::text[]) wanted(name)
        join pg_class c on c.relname = wanted.name and c.relnamespace = 'public'::regnamespace
        where has_table_privilege(c.oid, 'update') or has_table_privilege(c.oid, 'delete')
           or has_table_privilege(c.oid, 'truncate')
        order by 1
        """,
        list(names),
    )
    return [row["name"] for row in rows]


async def seen_without_program(connection: RawConnection, table: str) -> bool:
    """Does a transaction that acts for no program see a program's row of this tenant table? `table` is a name of ours.

    The platform's own rows are none: it keeps the answers to its repeated requests beside those of programs.
    """
    seen = f'select exists (select 1 from "{table}" where program_id <> $1)'
    return bool(await connection.fetchval(seen, PLATFORM_PROGRAM_ID))
