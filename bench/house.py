"""The real parts, as an operator starts them: the product's own PostgreSQL with its settings, web, worker, a local chain.

Each in a process of its own, by the product's own stack. What programs there are and who their members are is here as well.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import psutil

from bench.report import BenchError
from bench.requests import EVENT_TYPE, Shop
from guerdon.app import Runtime, open_runtime
from guerdon.chains.anvil_process import free_port
from guerdon.earning.onboarding import open_program
from guerdon.earning.schemas import Category, PerUnit, RuleFields
from guerdon.earning.service import set_rule
from guerdon.kit import driver
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Asset, Delivered, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.local.bootstrap import bootstrap
from guerdon.local.stack import Stack
from guerdon.programs.repository import program_by_brand_id
from guerdon.programs.schemas import NewProgram
from guerdon.settings import load_settings

FUNDS = 10**13
CENTS_PER_POINT = 100
SYMBOL = "LTZ"
_COMMAND_SECONDS = 300
_CLAIMS = 1_000_000
_CAP = 10**9


@dataclass(frozen=True, slots=True)
class Program:
    """One program, as it is in the books and as it reports."""

    id: UUID
    asset_id: UUID
    shop: Shop


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds that the parts have used so far."""

    web: float
    worker: float
    postgres: float

    def since(self, earlier: Usage) -> Usage:
        """What was used from then to now."""
        return Usage(self.web - earlier.web, self.worker - earlier.worker, self.postgres - earlier.postgres)


@dataclass(slots=True)
class House:
    """One installation that runs."""

    stack: Stack
    runtime: Runtime
    superuser: driver.RawConnection
    """Past row-level security: for counting what is there, and for loading a history."""
    programs: list[Program] = field(default_factory=list[Program])
    known: list[Program] = field(default_factory=list[Program])
    """Those of the programs that have known members."""
    members: int = 0
    """That each of them has."""
    loads: int = 0
    """Histories that were loaded."""

    @property
    def port(self) -> int:
        """Where the web listens."""
        return self.stack.settings.port

    @property
    def app_url(self) -> str:
        """The database as the application's role."""
        url = self.stack.settings.database_url
        return "" if url is None else url.get_secret_value()

    @property
    def superuser_url(self) -> str:
        """The database as its superuser."""
        return superuser_url(self.app_url)

    async def postmaster(self) -> psutil.Process:
        """PostgreSQL's first process, the parent of all its others."""
        backend = psutil.Process(await self.superuser.fetchval("select pg_backend_pid()"))
        parent = backend.parent()
        if parent is None:
            raise BenchError("PostgreSQL has ended")
        return parent

    def process(self, name: str) -> psutil.Process | None:
        """The process of `web` or `worker`, if it runs."""
        try:
            told = json.loads((self.stack.data.run / f"{name}.pid").read_text(encoding="utf-8"))
            return psutil.Process(int(told["pid"]))
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None

    async def usage(self) -> Usage:
        """What each part has used."""
        return Usage(_cpu(self.process("web")), _cpu(self.process("worker")), _cpu(await self.postmaster()))

    async def program(self, name: str, *, minted: int = 0, asset: str = SYMBOL) -> Program:
        """Open a program with the rule that the bench reports under, and fund it: by minting, or as a deposit is booked."""
        runtime = self.runtime
        async with runtime.database.platform() as session:
            new = NewProgram(name=name, domains=["bench.example"], asset=asset)
            made = await open_program(session, runtime.secrets, new, runtime.clock.now(), development=True)
            found = await program_by_brand_id(session, made.brand_id)
            if found is None:
                raise BenchError("the program was made and is not there")
            program = Program(found.id, found.asset_id, Shop(made.brand_id, made.security_key))
        # Limits are on: claims are counted, and points a day and account are capped; nobody reaches either.
        fields = RuleFields(
            name="Purchase",
            description="One point for each whole dollar of a purchase.",
            category=Category.COMMERCE,
            reward=PerUnit(field="amount_cents", unit=CENTS_PER_POINT, reward=1),
            open_to_browsers=False,
            cooldown_hours=0,
            max_claims_per_user=_CLAIMS,
            daily_cap_account=_CAP,
        )
        async with runtime.database.program(program.id) as session:
            await set_rule(session, EVENT_TYPE, fields, runtime.clock.now())
            if not minted:
                funds = Movement(PostingKind.FUND, uuid7(), program.asset_id, FUNDS)
                await ledger.post(session, program.id, [funds], runtime.clock.now())
        if minted:
            await self.cli("program", "fund", program.shop.brand_id, "--amount", str(minted))
        self.programs.append(program)
        return program

    async def cli(self, *arguments: str) -> None:
        """Run a command on this installation, as its operator does. Raises `BenchError` with what it said."""
        command = [sys.executable, "-m", "guerdon", *arguments, "--data-dir", str(self.stack.data.path)]
        try:
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"guerdon {' '.join(arguments)} took more than {_COMMAND_SECONDS} s: {error.stdout}") from error
        if done.returncode != 0:
            raise BenchError(f"guerdon {' '.join(arguments)}: {done.stdout}{done.stderr}")

    async def quiet(self) -> None:
        """Leave nothing to be written or vacuumed behind for the next measurement to pay."""
        await self.superuser.execute("vacuum (analyze)")
        await self.superuser.execute("checkpoint")


def superuser_url(app_url: str) -> str:
    """The same database as its superuser: the socket is only ours."""
    return f"postgresql://postgres@{app_url.partition('@')[2]}"


@asynccontextmanager
async def open_house(
    *, chain: bool = False, web: bool = True, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[House]:
    """An empty installation for the time of a block: PostgreSQL, the web and, with `chain`, the local chain and a worker.

    `environment` is what the operator sets.
    """
    with _only_these(environment or {}):
        folder = Path(tempfile.mkdtemp(prefix="guerdon-bench-"))
        folder.chmod(0o711)  # where the bench runs as root, PostgreSQL runs as somebody else
        stack = Stack(load_settings(data_dir=folder, port=free_port()), _trouble)
        stack.data.make()
        try:
            async with AsyncExitStack() as opened:
                opened.push_async_callback(stack.stop)
                await stack.start_database()
                if chain:
                    await stack.start_chain()
                stack.tell_endpoints()
                if chain:
                    await stack.start_worker()
                    async with stack.hurrying():
                        await bootstrap(stack.settings, stack.funder, _in_silence)
                if web:
                    await stack.start_web()
                runtime = await opened.enter_async_context(open_runtime(stack.settings))
                superuser = await driver.connect(superuser_url(_url(stack)))
                opened.push_async_callback(superuser.close)
                if not chain:
                    await _unminted_asset(runtime)
                yield House(stack, runtime, superuser)
        finally:
            stack.data.remove()
            shutil.rmtree(folder, ignore_errors=True)


async def _unminted_asset(runtime: Runtime) -> None:
    """The asset that a chain would have given: tokens that go out by themselves, so every event has a delivery to write."""
    async with runtime.database.platform() as session:
        session.add(
            Asset(
                id=uuid7(), symbol=SYMBOL, decimals=0, delivery=Delivered.AUTOMATIC, network="local",
                token_address="0x" + "11" * 20, mintable=True, created_at=runtime.clock.now(),
            )
        )  # fmt: skip


def _url(stack: Stack) -> str:
    url = stack.settings.database_url
    return "" if url is None else url.get_secret_value()


class _only_these:  # noqa: N801 - read as a word
    """The product is measured as it comes: what is set in this terminal is set aside for `environment`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._before: dict[str, str] = {}

    def __enter__(self) -> None:
        self._before = dict(os.environ)
        for name in list(os.environ):
            if name.startswith(("GUERDON_", "DATABASE_", "REDIS_")):
                del os.environ[name]
        os.environ.update(self._environment)

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self._before)


def _cpu(process: psutil.Process | None) -> float:
    """Of a process, its children, and those of them that have ended."""
    if process is None:
        return 0
    total = 0.0
    own = process.cpu_times()
    total += own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        try:
            used = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
    return total


def _trouble(name: str, sentence: str) -> None:
    print(f"{name} {sentence}")


def _in_silence(_sentence: str) -> None:
    """Setting up is not what is measured."""
