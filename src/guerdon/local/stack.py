"""Which services one machine runs, with which settings, and in which order they start and stop.

What a person sees of it is `up.py`; how a service is kept running is `supervisor.py`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import Final
from uuid import UUID

from pydantic import SecretStr

from guerdon.chains.anvil import LocalChain
from guerdon.chains.anvil_files import Funder
from guerdon.chains.networks import LOCAL_NETWORK, LOCAL_SOLANA
from guerdon.chains.port import ChainUnavailableError, RpcError
from guerdon.kit.ids import uuid7
from guerdon.kit.postgres import EmbeddedPostgres
from guerdon.local.datadir import DataDir, free_port
from guerdon.local.processes import Command, die_with_parent
from guerdon.local.services import Chain, Postgres, Program
from guerdon.local.supervisor import Service, StartError, Supervisor
from guerdon.settings import Settings, rpc_variable

DATABASE: Final = "postgres"
CHAIN: Final = "chain"
SOLANA: Final = "solana"
WORKER: Final = "worker"
WEB: Final = "web"
CONTRACTS: Final = "contracts"
"""The rows, in the order in which they are shown; the last is work and no process."""
ROWS: Final = (DATABASE, CHAIN, SOLANA, WORKER, WEB, CONTRACTS)

_CHAIN_PORT: Final = 8545
_SOLANA_PORT: Final = 8899
_LOCALHOST: Final = "127.0.0.1"
_BLOCKS_TO_FINALITY: Final = 2
_HURRY_SECONDS: Final = 0.2

Tell = Callable[[str, str], None]
"""Told a row's name and a sentence."""


def _alchemy(url: str) -> str:
    """A URL as migrations want it."""
    return f"postgresql+asyncpg://{url.partition('://')[2]}"


class Stack:
    """Everything that `guerdon up` runs."""

    def __init__(self, settings: Settings, announce: Tell) -> None:
        """`announce` is told what happens to a service after it was started."""
        self.settings = settings
        """Completed with the addresses of the database and the chain once they are known."""
        self.data = DataDir(settings.data_dir)
        self.supervisor = Supervisor(announce)
        self._announce = announce
        self._chain: LocalChain | None = None
        self.rpc_url = ""
        self.solana_url = ""

    @property
    def web_url(self) -> str:
        """Where the API is."""
        host = self.settings.host
        shown = _LOCALHOST if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not listened on
        return f"http://[{shown}]:{self.settings.port}" if ":" in shown else f"http://{shown}:{self.settings.port}"

    async def start_database(self) -> str:
        """Start the embedded PostgreSQL, unless another is given, and bring it to this release's schema; where it is."""
        # Alembic takes a second to import: meanwhile the server starts.
        migrations = asyncio.create_task(asyncio.to_thread(import_module, "guerdon.migrations.run"))
        if self.settings.database_url is not None:
            owner = self.settings.database_owner_url
            owner_url = None if owner is None else owner.get_secret_value()
            where = "of DATABASE_URL"
        else:
            # SIGINT is its fast shutdown: it takes no one's work with it, and the next start finds a clean cluster.
            tie = die_with_parent(signal.SIGINT)
            server = EmbeddedPostgres(self.settings.data_dir / DATABASE, prepare_child=tie)
            await self.supervisor.start(Postgres(server, self._announce))
            self._set(database_url=SecretStr(server.app_dsn()))
            owner_url = server.owner_dsn()
            where = f"in {server.log_path.parent}"
        module = await migrations
        if owner_url is not None:
            await module.upgrade(_alchemy(owner_url))
        elif self.settings.database_url is not None:
            current, wanted = await module.revisions(_alchemy(self.settings.database_url.get_secret_value()))
            if current != wanted:
                raise StartError(
                    f"the database is at revision {current}, this release wants {wanted}",
                    "set DATABASE_OWNER_URL to it as the role that owns the tables, or run `guerdon migrate`",
                )
        await self._agree_on_deployment()
        return where

    async def _agree_on_deployment(self) -> None:
        """The database has to be this folder's: beside another one's chain it would pay twice (SAFETY S21)."""
        if self.settings.database_url is None:
            return
        known = self.settings.deployment_id or self.data.deployment_id()
        module = await asyncio.to_thread(import_module, "guerdon.local.deployment")
        found: UUID = await module.deployment_id_of(self.settings.database_url.get_secret_value(), known or uuid7())
        if known is not None and found != known:
            raise StartError(
                f"this installation is {known}, and the database is that of {found}: nothing is started, so that nothing is "
                "paid twice",
                f"give it its own database; or, if the other installation is stopped for good and this one takes its place, "
                f"set GUERDON_DEPLOYMENT_ID={found} or write that into {self.data.path / 'deployment'}",
            )
        if self.data.deployment_id() is None:
            self.data.keep_deployment_id(found)
        self._set(deployment_id=found)

    async def start_chain(self) -> str:
        """Start the local chain, or go on with it; its address."""
        port = self._port_of("rpc", _CHAIN_PORT)
        chain = LocalChain(self.settings.data_dir / CHAIN, port=port, block_seconds=self.settings.block_seconds)
        await self.supervisor.start(Chain(chain))
        self.rpc_url = chain.url
        self._chain = chain
        self._set(rpc_urls={**self.settings.rpc_urls, LOCAL_NETWORK: SecretStr(chain.url)})
        return chain.url

    async def start_solana(self) -> str:
        """Start the local Solana, or go on with it; its address."""
        port = self._port_of("solana", _SOLANA_PORT)
        folder = self.settings.data_dir / SOLANA
        options = ("--folder", str(folder), "--port", str(port), "--slot-ms", str(self.settings.solana_slot_ms))
        command = Command(SOLANA, (sys.executable, "-m", "guerdon.local.solana", *options), {"PYTHONUNBUFFERED": "1"})
        await self.supervisor.start(Program(command, logs=self.data.logs, run=self.data.run))
        self.solana_url = f"http://{_LOCALHOST}:{port}"
        self._set(rpc_urls={**self.settings.rpc_urls, LOCAL_SOLANA: SecretStr(self.solana_url)})
        return self.solana_url

    def _port_of(self, name: str, preferred: int) -> int:
        """The port of last time, so that what people configured stays right; another one if somebody else has it now."""
        told = self.data.told()
        last = told.get(name, told.get(f"last_{name}", "")).rpartition(":")[2]
        return free_port(_LOCALHOST, int(last) if last.isdecimal() else preferred)

    @property
    def funder(self) -> Funder:
        """Who has the local chain's native coin, once it runs."""
        if self._chain is None:
            raise StartError("the local chain does not run", "start it first")
        return self._chain.funder

    @asynccontextmanager
    async def hurrying(self) -> AsyncGenerator[None]:
        """Make the local chain's blocks as soon as they are wanted, for as long as nobody but us is waiting for them."""
        task = asyncio.create_task(self._hurry())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _hurry(self) -> None:
        # Each block moves the chain's clock on by a second at least, so none is made that nobody needs.
        wanted = 0
        while self._chain is not None:
            with suppress(ChainUnavailableError, RpcError):
                if await self._chain.has_waiting():
                    wanted = 1 + _BLOCKS_TO_FINALITY
                if wanted:
                    await self._chain.mine()
                    wanted -= 1
            await asyncio.sleep(_HURRY_SECONDS)

    async def start_web(self) -> float:
        """Start the web process; the seconds it took."""
        return await self.supervisor.start(self._role(WEB, "--host", self.settings.host, "--port", str(self.settings.port)))

    async def start_worker(self) -> float:
        """Start the worker; the seconds it took."""
        return await self.supervisor.start(self._role(WORKER))

    def _role(self, name: str, *options: str) -> Service:
        return Program(
            Command(
                name,
                (sys.executable, "-m", "guerdon", name, *options),
                self._environment(),
                stop_seconds=self.settings.shutdown_seconds + 5,
            ),
            logs=self.data.logs,
            run=self.data.run,
            start_seconds=120,
        )

    def _environment(self) -> dict[str, str]:
        """What a role is told besides this process's own variables."""
        database_url = self.settings.database_url
        return {
            "DATABASE_URL": "" if database_url is None else database_url.get_secret_value(),
            "GUERDON_DATA_DIR": str(self.settings.data_dir),
            "GUERDON_DEPLOYMENT_ID": str(self.settings.deployment_id or ""),
            rpc_variable(LOCAL_NETWORK): self.rpc_url,
            rpc_variable(LOCAL_SOLANA): self.solana_url,
            "GUERDON_DRAIN_SECONDS": "0",
            "PYTHONUNBUFFERED": "1",
        }

    def _set(self, **values: object) -> None:
        self.settings = self.settings.model_copy(update=values)

    def tell_endpoints(self) -> None:
        """Write down where everything is, for commands."""
        database_url = self.settings.database_url
        self.data.tell(
            {
                "web": self.web_url,
                "rpc": self.rpc_url,
                **({"solana": self.solana_url} if self.solana_url else {}),
                **({} if database_url is None else {"database": database_url.get_secret_value()}),
            }
        )

    async def stop(self) -> None:
        """Stop everything: first what serves and works, then what they stand on."""
        await self.supervisor.stop((WEB,), (WORKER,), (CHAIN, SOLANA, DATABASE))
        self.data.forget()
