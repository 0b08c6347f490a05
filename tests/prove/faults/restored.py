"""The database is not the one that belongs to the chain: an older dump is put in its place, or a copy of it is started beside it
(SAFETY S21).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from uuid import uuid4

from tests.prove.faults.base import Fault, NotReachedError
from tests.prove.operator import Operator
from tests.prove.process import Process
from tests.prove.reporter import Reporter
from tests.prove.site import Site

DATABASE = "guerdon"
_COPY = "guerdon_copy"
_PATIENCE_SECONDS = 300
_REFUSAL_SECONDS = 20
_REPORT_SECONDS = 200
_WRITE_OFF = {"minter": "the tokens are in the treasury, and the funding is asked for anew"}


# ---- dumps ----------------------------------------------------------------------------------------------------------------


async def dump(site: Site) -> Path:
    """The database as it is now, made while it is at work."""
    path = site.folder / f"{uuid4()}.dump"
    await _tool(site, "pg_dump", "--format=custom", f"--file={path}", DATABASE)
    return path


async def restore(site: Site, path: Path, name: str = DATABASE) -> None:
    """Make a database of a dump, in the place of one of this name."""
    await _sql(site, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await _sql(site, f"CREATE DATABASE {name} OWNER guerdon_owner TEMPLATE template0")
    await _tool(site, "pg_restore", f"--dbname={name}", "--exit-on-error", str(path))


async def _sql(site: Site, statement: str) -> None:
    await _tool(site, "psql", "--quiet", "--command", statement, "postgres")


async def _tool(site: Site, name: str, *arguments: str) -> None:
    """One of PostgreSQL's own tools, of the release that runs."""
    binaries = Path(f"/proc/{site.postgres.pid}/exe").resolve().parent
    process = await asyncio.create_subprocess_exec(
        str(binaries / name), f"--host={site.socket.parent}", "--username=postgres", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd="/",
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), _PATIENCE_SECONDS)
    assert process.returncode == 0, f"{name}: {output.decode()}"


# ---- an older dump beside today's chain --------------------------------------------------------------------------------------


@dataclass
class _Memory:
    """How much a client had been told when the dump was begun: what came later may be lost by nature."""

    reporter: Reporter
    events: int
    reversals: int

    @classmethod
    def of(cls, reporter: Reporter) -> _Memory:
        return cls(reporter, len(reporter.told.acknowledged), len(reporter.told.reversed))

    async def forget(self, site: Site) -> list[str]:
        """Take out what the database does not know any more; the names of the events that are lost."""
        told = self.reporter.told
        events = {str(row["id"]) for row in await site.rows("select id from events")}
        reversals = {str(row["id"]) for row in await site.rows("select id from reversals")}
        late = told.acknowledged[self.events :]
        told.acknowledged[self.events :] = [replace(one, transaction=None) for one in late if one.event_id in events]
        told.reversed[self.reversals :] = [one for one in told.reversed[self.reversals :] if one.reversal_id in reversals]
        return sorted({one.name for one in late if one.event_id not in events})


class OlderDump(Fault):
    """What operators do after a disaster, as docs/operators.md says, while the chain knows more than the database."""

    reverses = False
    """A reward that was paid after the dump and then taken back is lost twice over: that is no fault of the product."""
    settle_seconds = 120.0
    strike_seconds = 900.0

    def __init__(self, what: str, about: str, *, pooled: bool) -> None:
        """`pooled`: transactions that the dump does not know still wait for a block when the worker starts again."""
        self.name, self.about = f"restored/{what}", about
        self._pooled = pooled

    async def strike(self, site: Site, chance: Random) -> str:
        await site.load.some(chance)
        memories = [_Memory.of(program.reporter) for program in site.programs]
        path = await dump(site)
        await asyncio.sleep(chance.uniform(1, 8))
        async with site.load.held(), AsyncExitStack() as stack:
            if self._pooled:
                await stack.enter_async_context(site.chain_held())
                if not await site.until(site.node.pool, 5):
                    raise NotReachedError("no transaction waited for a block")
            mints = await _mints(site)
            await _stop(site)
            await restore(site, path)
            known = {str(row["id"]) for row in await site.rows("select id from fundings")}
            site.told.minted_and_lost += sum(amount for funding, amount in mints.items() if funding not in known)
            ahead = await _unknown_nonces(site)
            await _start(site)
            lost = {memory.reporter.brand_id: await memory.forget(site) for memory in memories}
            if self._pooled:
                await asyncio.sleep(chance.uniform(1, 5))
            await stack.aclose()
            left = await self._resume(site, memories, lost, chance)
        events = sum(map(len, lost.values()))
        return f"{events} events and {ahead} transactions were not in the dump" + (f"; left: {left}" if left else "")

    async def _resume(self, site: Site, memories: list[_Memory], lost: dict[str, list[str]], chance: Random) -> list[str]:
        """Lost events are reported again, keys that paused take over what they sent and go on; what remains unaccounted for."""
        operator = Operator(site)
        if chance.random() < 0.5:
            await site.until(operator.waits_for_me, 20)
            await operator.resume_keys(_WRITE_OFF)
        for memory in memories:
            await _report_again(memory.reporter, lost[memory.reporter.brand_id])
        left: list[str] = []

        async def is_over() -> bool:
            left[:] = await operator.resume_keys(_WRITE_OFF) if await operator.waits_for_me() else []
            return not left and not await _unknown_nonces(site) and await _is_known_pool(site)

        await site.until(is_over, _PATIENCE_SECONDS)
        return left


async def _report_again(reporter: Reporter, names: list[str]) -> None:
    """As it was reported, by those who have keys and by those who have none."""
    keyless = [name for name in names if "-keyless-" in name]
    await reporter.report([name for name in names if name not in keyless], seconds=_REPORT_SECONDS)
    for name in keyless:
        await reporter.report_without_key(name, time.monotonic() + _REPORT_SECONDS)


async def _mints(site: Site) -> dict[str, int]:
    rows = await site.rows("select id, amount_atomic from fundings where kind = 'mint' and state = 'booked'")
    return {str(row["id"]): int(row["amount_atomic"]) for row in rows}


async def _unknown_nonces(site: Site) -> int:
    """How many transactions in blocks the database does not know."""
    keys = await site.rows("select address, next_nonce from keys")
    return sum([max(0, await site.node.nonce(key["address"]) - key["next_nonce"]) for key in keys])


async def _is_known_pool(site: Site) -> bool:
    known = {row["hash"] for row in await site.rows("select hash from attempts")}
    return all(one in known for one in await site.node.pool())


async def _stop(site: Site) -> None:
    for process in site.processes.values():
        process.is_wanted = False
        process.kill()
    await site.until(lambda: _none_runs(site), 10)


async def _none_runs(site: Site) -> bool:
    return not any(process.is_running for process in site.processes.values())


async def _start(site: Site) -> None:
    for process in site.processes.values():
        process.is_wanted = True
    await site.until(lambda: _all_run(site))
    await site.forget_the_dead()


async def _all_run(site: Site) -> bool:
    return all(process.is_running for process in site.processes.values())


# ---- a copy of the database --------------------------------------------------------------------------------------------------


class CopiedDatabase(Fault):
    """A second installation on a copy of the database, with the same keys on the same chain."""

    name = "restored/copied-database"
    about = "A worker starts on a copy of the database under another deployment's id, or none: it sends nothing and says so."

    async def strike(self, site: Site, chance: Random) -> str:
        await site.load.some(chance)
        path = await dump(site)
        await restore(site, path, _COPY)
        other = Process(
            f"copy-{uuid4().hex[:8]}", ("worker",), folder=site.folder, server_socket=site.socket, node_url=site.node.url
        )
        deployment = chance.choice([str(uuid4()), str(uuid4()), ""])
        other.environment |= {"DATABASE_URL": other.database.url("guerdon_app", _COPY), "GUERDON_DEPLOYMENT_ID": deployment}
        await other.open(site.environment())
        try:
            await other.start()
            until = time.monotonic() + chance.uniform(4, 10)
            while time.monotonic() < until:
                await site.load.some(chance)
                await asyncio.sleep(0.2)
            refused = ""

            async def has_refused() -> bool:
                nonlocal refused
                refused = await _refusals(site) if deployment else "" if other.is_running else other.last_words()
                return bool(refused)

            await site.until(has_refused, _REFUSAL_SECONDS)
            sent = other.chain.calls["eth_sendRawTransaction"]
        finally:
            await other.close()
            await _sql(site, f"DROP DATABASE IF EXISTS {_COPY} WITH (FORCE)")
        if sent:
            site.told.odd_answers.append(f"doubled: a worker on a copy of the database sent {sent} transactions")
        if not refused:
            raise NotReachedError("the other worker did not come as far as refusing")
        return f"it refused: {refused}"


async def _refusals(site: Site) -> str:
    told = await site.rows("select payload->>'message' as message from outbox where kind = 'network.refused'", database=_COPY)
    return told[0]["message"] if told else ""


FAULTS: tuple[Fault, ...] = (
    OlderDump("older-dump", "An older dump is restored beside today's chain; an operator resumes.", pooled=False),
    OlderDump("older-dump-with-a-full-pool", "The same while transactions it does not know wait for a block.", pooled=True),
    CopiedDatabase(),
)
