"""Is the database there, up to date, and does it keep programs apart: tried, not only read from its settings (SAFETY S1)."""

from __future__ import annotations

from datetime import UTC, datetime

from guerdon.doctor import repository
from guerdon.doctor.findings import Finding, mend, note, ok
from guerdon.kit import driver
from guerdon.kit.database import begin_in_platform
from guerdon.kit.models import Scope
from guerdon.migrations.run import revisions
from guerdon.tables import tables_in

AREA = "database"
_OLDEST = 15_00_00
_SKEW_SECONDS = 2.0
_WORST_SKEW_SECONDS = 60.0
_APPEND_ONLY = ("postings", "nonces")


async def look(url: str) -> list[Finding]:
    """Everything about the database at `url`, which is the application's."""
    try:
        connection = await driver.connect(url, timeout=5)
    except Exception as error:
        if not driver.is_connection_failure(error) and getattr(error, "sqlstate", None) is None:
            raise
        return [
            mend(
                AREA,
                "reachable",
                f"no connection: {error}",
                "start the server, and check host, port, role and password in DATABASE_URL",
            )
        ]
    try:
        findings = [await _version(connection), await _clock(connection)]
        migrated = await _migrated(url)
        findings.append(migrated)
        if migrated.remedy is None:
            findings += [await _role(connection), *await _isolation(connection)]
        return findings
    finally:
        await connection.close()


async def _version(connection: driver.RawConnection) -> Finding:
    version = await repository.server_version(connection)
    text = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < _OLDEST:
        return mend(AREA, "reachable", text, "move to PostgreSQL 15 or newer")
    return ok(AREA, "reachable", text)


async def _clock(connection: driver.RawConnection) -> Finding:
    before = datetime.now(UTC)
    theirs = await repository.clock(connection)
    after = datetime.now(UTC)
    # The truth lies between the two readings here, so only what is outside of them is skew.
    skew = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    text = f"{skew:.1f} s apart from this machine's"
    remedy = "set both clocks by NTP: signed reports are judged by their time"
    if skew > _WORST_SKEW_SECONDS:
        return mend(AREA, "clock", text, remedy)
    return note(AREA, "clock", text, remedy) if skew > _SKEW_SECONDS else ok(AREA, "clock", text)


async def _migrated(url: str) -> Finding:
    current, wanted = await revisions(f"postgresql+asyncpg://{url.partition('://')[2]}")
    if current == wanted:
        return ok(AREA, "migrated", f"at revision {current}")
    if current is None:
        return mend(
            AREA,
            "migrated",
            "the database is empty",
            "run `guerdon migrate` with DATABASE_OWNER_URL (`guerdon up` does it by itself)",
        )
    return mend(
        AREA,
        "migrated",
        f"at revision {current}, this release wants {wanted}",
        "run `guerdon migrate` with DATABASE_OWNER_URL; if the database is the newer one, install the release that it belongs to",
    )


async def _role(connection: driver.RawConnection) -> Finding:
    role = await repository.own_role(connection)
    remedy = "connect as guerdon_app, which owns nothing and bypasses nothing; `guerdon migrate` alone uses the owner's role"
    if role is None:
        return mend(AREA, "role", "the role we connect as is unknown", remedy)
    powers = [
        words
        for column, words in (
            ("rolsuper", "is a superuser"),
            ("rolbypassrls", "bypasses row-level security"),
            ("rolcreaterole", "may make roles"),
        )
        if role[column]
    ]
    owned = await repository.owned_tables(connection)
    if owned:
        powers.append(f"owns {len(owned)} tables, {owned[0]} among them")
    if powers:
        return mend(AREA, "role", f"{role['rolname']} {' and '.join(powers)}", remedy)
    return ok(AREA, "role", f"{role['rolname']} owns nothing and bypasses nothing")


async def _isolation(connection: driver.RawConnection) -> list[Finding]:
    protected = [name for scope in Scope if scope is not Scope.SHARED for name in tables_in(scope)]
    open_tables = await repository.unprotected_tables(connection, protected)
    remedy = "the schema was changed by hand: compare it with a new one (`guerdon migrate` an empty database), restore what lacks"
    if open_tables:
        return [mend(AREA, "row-level security", f"missing or without protection: {', '.join(open_tables)}", remedy)]
    # Tried on every tenant table: a transaction that acts for no program sees nothing, in platform scope neither.
    seen: list[str] = []
    for begin in ("BEGIN", begin_in_platform()):
        await connection.execute(begin)
        try:
            seen += [name for name in tables_in(Scope.TENANT) if await repository.seen_without_program(connection, name)]
        finally:
            await connection.execute("ROLLBACK")
    if seen:
        return [mend(AREA, "row-level security", f"rows are seen without a program: {', '.join(sorted(set(seen)))}", remedy)]
    findings = [ok(AREA, "row-level security", f"in force on {len(protected)} tables, tried on {len(tables_in(Scope.TENANT))}")]
    loose = await repository.changeable(connection, _APPEND_ONLY)
    if loose:
        findings.append(
            mend(
                AREA,
                "append-only",
                f"may be changed: {', '.join(loose)}",
                f"revoke update, delete, truncate on {', '.join(loose)} from guerdon_app",
            )
        )
    else:
        findings.append(ok(AREA, "append-only", f"{' and '.join(_APPEND_ONLY)} can't be changed"))
    return findings
