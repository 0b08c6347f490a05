"""One installation of real processes and real parts that faults are done to: PostgreSQL, a chain, web and workers.

    async with Site.open() as site:
        site.processes["web-1"].kill()
        site.postgres_kill(); await site.postgres_start()
        async with site.chain_held(): ...

Each process has its own way to the database and to the chain (`process.py`). Nothing of the product is changed or told that it is
being tried; what the driver needs of it to set things up (migrations, the local chain's contracts) it calls as `guerdon up` does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import httpx
from pydantic import SecretStr

from guerdon.app import open_runtime
from guerdon.kit.ids import uuid7
from guerdon.kit.postgres import EmbeddedPostgres
from guerdon.local.processes import die_with_parent
from guerdon.migrations.run import upgrade
from guerdon.programs.admin_keys import first_platform_key
from guerdon.settings import Settings
from guerdon.txmanager.setup import bootstrap_local
from tests.prove import judge
from tests.prove.load import Load
from tests.prove.process import Process
from tests.prove.reporter import Reporter
from tests.support.postgres import FAST, short_lived_folder, sweep
from tests.support.services import free_port
from tests.txmanager.node import CHAIN_ID, Node

SECRET_KEY = "5e" * 32
BLOCK_SECONDS = 0.5
FUNDS = 1_000_000
_WEBS = 2
_SETUP_BLOCK_SECONDS = 0.1
_POLL_SECONDS = 0.2
EVENT_TYPE = "order"
POLICIES = ("within_balance", "debt")
"""A program each: how it takes rewards back."""

_FORGET_LEASES = """
update keys set lease_until = clock_timestamp()
where lease_until > clock_timestamp() and split_part(lease_owner, '/', 2)::int <> all ($1::int[])
"""
_FORGET_CLAIMS = """
update work set claimed_until = now()
where claimed_until > now() and split_part(claimed_by, ':', 2)::int <> all ($1::int[])
"""


@dataclass
class Program:
    """A program of the site, and the client that reports for it."""

    brand_id: str
    policy: str
    reporter: Reporter


class Site:
    """Use `Site.open`. `processes` are by name: `web-1`, `web-2`, which share a port, and `worker-1`, `worker-2`…"""

    def __init__(self, folder: Path, *, workers: int = 2, source: Path | None = None) -> None:
        """`source`: where the processes' `guerdon` is imported from, in place of the installed one."""
        self.folder = folder
        self.node = Node(free_port(), ("--no-mining", "--timestamp", str(int(time.time()))))
        self.postgres = EmbeddedPostgres(folder / "postgres", settings=FAST, prepare_child=die_with_parent(signal.SIGQUIT))
        self.programs: list[Program] = []
        self.block_seconds = _SETUP_BLOCK_SECONDS
        self.may_mine = asyncio.Event()
        self.admin_key = ""
        self.deployment_id = uuid7()
        self.web_port = free_port()
        self.processes: dict[str, Process] = {}
        self.load = Load(self, "nobody", Random(0))
        """The clients of the present run."""
        self.told = judge.Told()
        """What the driver has to tell the judge besides."""
        self._workers = workers
        self._source = source
        self._tasks: list[asyncio.Task[None]] = []

    # ---- life -----------------------------------------------------------------------------------------------------

    @classmethod
    @asynccontextmanager
    async def open(cls, *, workers: int = 2, source: Path | None = None) -> AsyncGenerator[Site]:
        """A site that runs, with funded programs; everything of it is gone afterwards."""
        sweep()
        with short_lived_folder() as folder:
            site = cls(folder, workers=workers, source=source)
            async with AsyncExitStack() as stack:
                stack.push_async_callback(site._close)
                await site._start()
                yield site

    async def _start(self) -> None:
        (self.folder / "logs").mkdir()
        await asyncio.gather(self.postgres.start(), self.node.start())
        await upgrade(self.postgres.owner_dsn().replace("postgresql://", "postgresql+asyncpg://"))
        for name, arguments in self._roles().items():
            process = Process(name, arguments, folder=self.folder, server_socket=self.socket, node_url=self.node.url)
            await process.open(self.environment())
            self.processes[name] = process
        self.may_mine.set()
        self._keep(self._make_blocks())
        starting = asyncio.gather(*(process.start() for process in self.processes.values()))
        await asyncio.gather(starting, self._set_up())
        for process in self.processes.values():
            self._keep(process.keep_running())
        await self._make_programs()
        self.block_seconds = BLOCK_SECONDS

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.close() for process in self.processes.values()))
        await self.node.close()
        await self.postgres.stop()

    def _roles(self) -> dict[str, tuple[str, ...]]:
        web = ("web", "--share-port", "--port", str(self.web_port))
        webs = {f"web-{number}": web for number in range(1, _WEBS + 1)}
        return webs | {f"worker-{number}": ("worker",) for number in range(1, self._workers + 1)}

    def environment(self) -> dict[str, str]:
        """Of every process."""
        common = {
            "GUERDON_DATA_DIR": str(self.folder / "data"),
            "GUERDON_SECRET_KEY": SECRET_KEY,
            "GUERDON_DEPLOYMENT_ID": str(self.deployment_id),
            "GUERDON_DRAIN_SECONDS": "0",
            "GUERDON_SHUTDOWN_SECONDS": "3",
            "GUERDON_LOG_LEVEL": "WARNING",
        }
        return common if self._source is None else common | {"PYTHONPATH": str(self._source)}

    def command_environment(self) -> dict[str, str]:
        """Of an operator's commands, which go to database and chain past every proxy."""
        return self.environment() | {"DATABASE_URL": self.postgres.app_dsn(), "GUERDON_RPC_LOCAL": self.node.url}

    def _keep(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    @property
    def socket(self) -> Path:
        """PostgreSQL's, behind the proxies."""
        folder = self.postgres.superuser_dsn().rpartition("host=")[2]
        return Path(httpx.QueryParams(f"host={folder}")["host"]) / ".s.PGSQL.5432"

    async def _set_up(self) -> None:
        """The local chain's contracts and treasury, and the platform's first key, as `guerdon up` makes them."""
        settings = Settings(
            _env_file=None,
            database_url=SecretStr(self.postgres.app_dsn()),
            secret_key=SecretStr(SECRET_KEY),
            deployment_id=self.deployment_id,
            rpc_urls={"local": SecretStr(self.node.url)},
        )
        async with open_runtime(settings) as runtime:
            await bootstrap_local(runtime, lambda _: None, chain_id=CHAIN_ID, block_time_ms=round(BLOCK_SECONDS * 1000))
            async with runtime.database.platform() as session:
                self.admin_key = str(await first_platform_key(session, runtime.clock.now()))

    async def _make_programs(self) -> None:
        for policy in POLICIES:
            made = await self.admin("POST", "/api/admin/programs", {"name": f"Shop {policy}"})
            brand = made["brandId"]
            await self.admin("PATCH", f"/api/admin/programs/{brand}", {"reversalPolicy": policy})
            rule = {
                "name": "Order",
                "description": "A point for each whole cent.",
                "maxClaimsPerUser": -1,
                "reward": {"field": "cents", "unit": 1, "reward": 1},
            }
            await self.admin("PUT", f"/api/admin/rules/{EVENT_TYPE}?brandId={brand}", rule)
            await self.fund(brand, FUNDS)
            self.programs.append(Program(brand, policy, Reporter(self.url, brand, made["securityKey"])))

    # ---- handles --------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def webs(self) -> list[Process]:
        return [process for name, process in self.processes.items() if name.startswith("web")]

    @property
    def workers(self) -> list[Process]:
        return [process for name, process in self.processes.items() if name.startswith("worker")]

    async def connect(self, database: str = "guerdon") -> asyncpg.Connection[Any]:
        """Past every proxy, as the superuser."""
        return await asyncpg.connect(self.postgres.superuser_dsn(database), timeout=5)

    async def rows(self, query: str, *arguments: object, database: str = "guerdon") -> list[asyncpg.Record]:
        connection = await self.connect(database)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def value(self, query: str, *arguments: object) -> Any:
        connection = await self.connect()
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    async def execute(self, query: str, *arguments: object) -> None:
        connection = await self.connect()
        try:
            await connection.execute(query, *arguments)
        finally:
            await connection.close()

    async def until(self, condition: Callable[[], Any], seconds: float = 30) -> bool:
        """Wait for something to be so; False if it was not within the time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not await condition():
                    await asyncio.sleep(_POLL_SECONDS)
                return True
        return False

    async def admin(self, method: str, path: str, body: Any = None, *, key: str = "", seconds: float = 60) -> Any:
        """Ask the administration; repeated until it answers. What is to be done once takes an idempotency `key`."""
        headers = {"Authorization": f"Bearer {self.admin_key}"} | ({"Idempotency-Key": key} if key else {})
        problem = ""
        async with httpx.AsyncClient(base_url=self.url, timeout=10, trust_env=False) as client, asyncio.timeout(seconds):
            while True:
                try:
                    answer = await client.request(method, path, json=body, headers=headers)
                except httpx.TransportError as error:
                    problem = repr(error)
                else:
                    if answer.is_success:
                        return answer.json() if answer.content else None
                    problem = f"{answer.status_code} {answer.text}"
                    assert answer.status_code in {409, 500, 502, 503, 504}, f"{method} {path}: {problem}"
                await asyncio.sleep(_POLL_SECONDS)

    async def fund(self, brand_id: str, points: int, *, key: str = "") -> None:
        """Give a program points; returns when they are booked. One that failed on chain is asked for again, as its answer says."""
        path = f"/api/admin/programs/{brand_id}/fundings"
        asked = await self.admin("POST", path, {"points": points}, key=key)
        times = 1

        async def is_booked() -> bool:
            nonlocal asked, times
            state = (await self.admin("GET", f"{path}/{asked['id']}"))["state"]
            if state == "failed":
                asked, times = await self.admin("POST", path, {"points": points}, key=f"{key}-{times + 1}"), times + 1
            return state == "booked"

        assert await self.until(is_booked, 90), f"funding {asked['id']} was not booked in a minute and a half"

    async def lease_holder(self) -> Process | None:
        """The worker that holds the treasury's key now."""
        owner = await self.value("select lease_owner from keys where purpose = 'treasury' and lease_until > clock_timestamp()")
        return next((one for one in self.workers if owner and one.is_running and f"/{one.pid}/" in owner), None)

    def deadlocks(self, after: int) -> list[str]:
        """What PostgreSQL has said of deadlocks since its log had that many bytes: who waited for whom, doing what."""
        with self.postgres.log_path.open("rb") as log:
            log.seek(after)
            told = log.read().decode(errors="replace")
        return [part.partition("STATEMENT:")[0].strip() for part in told.split("deadlock detected")[1:]]

    # ---- what is done to it ---------------------------------------------------------------------------------------

    def postgres_kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End PostgreSQL: SIGKILL of its first process, or another signal."""
        pid = self.postgres.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def postgres_start(self) -> None:
        """Start it again; returns when it takes connections."""
        await self.postgres.start()

    @asynccontextmanager
    async def chain_held(self) -> AsyncGenerator[None]:
        """No block is made inside, except by the one who asked."""
        self.may_mine.clear()
        await asyncio.sleep(0)
        try:
            yield
        finally:
            self.may_mine.set()

    async def _make_blocks(self) -> None:
        while True:
            await asyncio.sleep(self.block_seconds)
            await self.may_mine.wait()
            with suppress(httpx.HTTPError, AssertionError):
                await self.node.mine()

    async def forget_the_dead(self) -> None:
        """What processes that do not run any more hold (leases, claims of work) runs out now, not in up to half a minute.

        What one of them still has locked, because it was stopped in the middle of a transaction, is left as it is.
        """
        alive = [process.pid for process in self.processes.values() if process.is_running and not process.is_frozen]
        connection = await self.connect()
        try:
            await connection.execute("set lock_timeout = '200ms'")
            for query in (_FORGET_LEASES, _FORGET_CLAIMS):
                with suppress(asyncpg.LockNotAvailableError):
                    await connection.execute(query, alive)
        finally:
            await connection.close()

    # ---- afterwards -----------------------------------------------------------------------------------------------

    async def mend(self) -> None:
        """Every fault is over: what was in the way is gone, what is to run runs."""
        for process in self.processes.values():
            process.mend()
        self.may_mine.set()
        if not await self.postgres.is_alive():
            await self.postgres.start()

        async def all_run() -> bool:
            return all(process.is_running for process in self.processes.values())

        await self.until(all_run)

    async def settled(self, seconds: float) -> list[str]:
        """Wait until nothing is under way; what is stuck after that time."""
        stuck: list[str] = []

        async def is_settled() -> bool:
            nonlocal stuck
            try:
                connection = await self.connect()
            except (OSError, asyncpg.PostgresError) as error:
                stuck = [f"stuck: PostgreSQL does not answer: {error!r}"]
                return False
            try:
                stuck = await judge.stuck(connection)
            finally:
                await connection.close()
            return not stuck

        await self.until(is_settled, seconds)
        return stuck

    async def verdict(self) -> list[str]:
        """What the judge says of everything that ever happened here."""
        told = judge.Told.of(self.told, *(program.reporter.told for program in self.programs))
        # In a thread with a loop of its own: it asks in the plainest way, and the proxies go on meanwhile.
        return await asyncio.to_thread(asyncio.run, judge.judge(self.postgres.superuser_dsn(), self.node.url, told))
