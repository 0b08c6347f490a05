"""What an installation's own rows say: its identity and secrets, whether anybody works, what waits, what is paused."""

from __future__ import annotations

from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError

from guerdon.accounts import repository as accounts
from guerdon.accounts.errors import MasterSecretError
from guerdon.accounts.master_secret import MASTER_SECRET, open_wallets
from guerdon.doctor.findings import Finding, mend, note, ok
from guerdon.kit.database import Database, PlatformSession
from guerdon.kit.outbox import count_open_alerts
from guerdon.kit.secrets import SecretError, key_ring
from guerdon.settings import Settings
from guerdon.status.gauges import waiting
from guerdon.txmanager import repository_keys, repository_treasuries

AREA = "installation"
_WAITING_SECONDS = 60
"""A worker takes due work at once; if it has lain for so long, nobody does it, or nobody can."""
_REDIS_SECONDS = 2
_GIVE_BACK = "give back the secret key that this database was made with: GUERDON_SECRET_KEY, or secret.key of its data directory"
_RESUME = "`guerdon alert list` tells the whole story; once that is settled: guerdon treasury resume"


async def look(settings: Settings, database: Database) -> list[Finding]:
    """Everything about the installation in this database, which is reachable and migrated."""
    async with database.platform() as session:
        findings = [
            await _deployment(settings, session),
            await _wallets(settings, session),
            *await _work(session),
            *await _keys(session),
            *await _treasuries(session),
            await _alerts(session),
        ]
    if settings.redis_url is not None:
        findings.append(await _redis(settings.redis_url.get_secret_value()))
    return findings


async def _deployment(settings: Settings, session: PlatformSession) -> Finding:
    known = await repository_keys.deployment(session)
    if known is None:
        return note(AREA, "deployment", "not named yet", "the first process that starts names it")
    if settings.deployment_id is not None and settings.deployment_id != known.id:
        return mend(
            AREA,
            "deployment",
            f"the settings say {settings.deployment_id}, the database {known.id}: nothing will be sent to a chain",
            "connect to the database of this deployment, or correct GUERDON_DEPLOYMENT_ID if this is a copy meant to take over",
        )
    if settings.deployment_id is None:
        return note(
            AREA,
            "deployment",
            f"the settings do not name it, the database is that of {known.id}: a worker sends nothing",
            f"set GUERDON_DEPLOYMENT_ID={known.id} for workers, unless this database is a copy of one that is in use",
        )
    return ok(AREA, "deployment", str(known.id))


async def _wallets(settings: Settings, session: PlatformSession) -> Finding:
    """Can the secret that wallets come from be opened, and is it the one that they were made from (SAFETY S6)?"""
    check = "wallets' secret"
    if await accounts.master_secret(session, MASTER_SECRET) is None:
        return note(AREA, check, "not made yet", "the first process that starts makes it")
    # Looked for first: opening the ring would make a new key, which can't open anything.
    if settings.secret_key is None and settings.secret_key_file is None and not (settings.data_dir / "secret.key").exists():
        return mend(AREA, check, "can't be opened: the secret key is not there", _GIVE_BACK)
    try:
        wallets = await open_wallets(session, key_ring(settings), datetime.now(UTC))
    except (SecretError, MasterSecretError) as error:
        return mend(AREA, check, str(error), _GIVE_BACK)
    return ok(AREA, check, f"fingerprint {wallets.fingerprint()}")


async def _work(session: PlatformSession) -> list[Finding]:
    gauges = await waiting(session)
    late = [one for one in gauges if one.gauge == "work" and (one.oldest_seconds or 0) > _WAITING_SECONDS]
    findings = [
        mend(
            AREA,
            f"work {one.label}",
            f"due for {one.oldest_seconds:.0f} s and not done",
            "start a worker (`guerdon worker`); if one runs, its log says why it can't",
        )
        for one in late
    ]
    findings += [
        mend(
            AREA,
            f"payouts {one.label}",
            f"{one.items} are {one.label}",
            "`guerdon payout list` shows them, and `payout retry` helps",
        )
        for one in gauges
        if one.gauge == "deliveries" and one.label in {"unknown", "quarantined"}
    ]
    on_the_way = {one.label: one.items for one in gauges if one.gauge == "deliveries"}
    said = ", ".join(f"{items} {state}" for state, items in sorted(on_the_way.items())) or "none under way"
    return findings or [ok(AREA, "work", f"nothing lies about; payouts: {said}")]


async def _keys(session: PlatformSession) -> list[Finding]:
    """Who holds the signing keys, and which of them rest."""
    keys = await repository_keys.keys(session)
    findings = [
        mend(
            AREA,
            f"{key.purpose} key",
            f"{key.address} on {key.network} is paused: {key.pause_reason}",
            "it goes on by itself once the cause is gone" if key.resumes_by_itself else _RESUME,
        )
        for key in keys
        if key.paused_at is not None
    ]
    now = datetime.now(UTC)
    idle = sorted({key.network for key in keys if key.lease_until is None or key.lease_until < now})
    if idle:
        findings.append(
            note(AREA, "worker", f"nobody signs for {', '.join(idle)}", "start a worker, with the RPC address of each network")
        )
    elif keys:
        findings.append(ok(AREA, "worker", f"{len(keys)} signing keys are in the hands of a worker"))
    return findings


async def _treasuries(session: PlatformSession) -> list[Finding]:
    findings: list[Finding] = []
    for treasury, asset, _ in await repository_treasuries.treasuries(session):
        name = f"treasury {asset.symbol} on {treasury.network}"
        free = treasury.balance_final - treasury.reserved
        if treasury.paused_at is not None:
            remedy = f"once that is settled: guerdon treasury resume {asset.symbol}"
            findings.append(mend(AREA, name, f"is paused: {treasury.pause_reason}", remedy))
        elif free < treasury.low_balance:
            findings.append(
                mend(AREA, name, f"{free} atomic units are free, below {treasury.low_balance}", "guerdon treasury fund")
            )
        else:
            findings.append(ok(AREA, name, f"{free} atomic units are free at {treasury.address}"))
    return findings


async def _alerts(session: PlatformSession) -> Finding:
    counts = await count_open_alerts(session)
    if not any(counts.values()):
        return ok(AREA, "alerts", "none open")
    said = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)
    return note(AREA, "alerts", f"{said} open", "guerdon alert list")


async def _redis(url: str) -> Finding:
    client: Redis = Redis.from_url(url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS)  # pyright: ignore[reportUnknownMemberType]
    try:
        await client.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
    except (RedisError, OSError) as error:
        return mend(
            AREA,
            "Redis",
            f"does not answer: {error}",
            "start it, or unset REDIS_URL: each process then counts rate limits by itself",
        )
    finally:
        await client.aclose()
    return ok(AREA, "Redis", "answers")
