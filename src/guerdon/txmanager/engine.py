"""The engine of one network in one worker: takes leases on the network's keys and runs a loop for each (`key_loop.py`).

Any number of workers may run one: a key is in the hands of one at a time (SAFETY S19).
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

import structlog

from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.kit.secrets import KeyRing
from guerdon.txmanager import alerts, leases, recovery
from guerdon.txmanager.chain import Chain, Rpc
from guerdon.txmanager.context import KeyContext
from guerdon.txmanager.key_loop import KeyLoop
from guerdon.txmanager.leases import Lease
from guerdon.txmanager.loop import FATAL, Loop
from guerdon.txmanager.models import Network
from guerdon.txmanager.repository_keys import CHANNEL
from guerdon.txmanager.signer import Signer
from guerdon.txmanager.terms import EngineTerms

_TEND_SECONDS = 1.0
"""How often free keys are looked for: how long a key of a worker that stopped in order lies idle at most."""
_DRAIN_SECONDS = 15
_LISTENER_RETRY_SECONDS = 1.0
_log = structlog.stdlib.get_logger("guerdon.txmanager")


class Engine(ABC):
    """Gets the transactions of one network's keys signed, sent and final: the part that is the same on every kind of chain."""

    def __init__(
        self,
        *,
        database: Database,
        secrets: KeyRing,
        network: str,
        deployment_id: UUID,
        terms: EngineTerms | None = None,
    ) -> None:
        """`deployment_id` is the settings' and must be the database's (SAFETY S21)."""
        self._database = database
        self._signer = Signer(secrets)
        self._network = network
        self._deployment_id = deployment_id
        self._terms = terms or EngineTerms()
        self._owner = leases.new_owner()
        self._loops: dict[UUID, tuple[Loop[Any], asyncio.Task[None]]] = {}
        self._tend = asyncio.Event()
        self._renew_at = 0.0

    @abstractmethod
    async def accept(self) -> Network:
        """The network's row, once chain and deployment are proven to be the right ones."""

    @abstractmethod
    def loop_for(self, lease: Lease, network: Network) -> Loop[Any]:
        """What works for a key."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then give the keys back.

        Raises `WrongChainError`, `DeploymentMismatchError` or `NetworkNotFoundError` when nothing may be sent until an operator
        has acted. A chain or a database that does not answer is waited for.
        """
        helpers = [asyncio.create_task(self._listen()), asyncio.create_task(self._wake_on(stop))]
        try:
            while not stop.is_set():
                self._tend.clear()
                try:
                    await self._tend_leases()
                except FATAL as refusal:
                    await self._tell_refusal(refusal)
                    raise
                except Exception as error:  # noqa: BLE001 - a chain or database that is away comes back
                    _log.warning("txmanager.waiting", network=self._network, error=f"{type(error).__name__}: {error}")
                await self._rest()
        finally:
            await self._drain()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _tend_leases(self) -> None:
        """Notice loops that ended, renew what is held, take what is free."""
        for key_id, (_, task) in list(self._loops.items()):
            if task.done():
                del self._loops[key_id]
                task.result()
        if time.monotonic() >= self._renew_at:
            await self._renew()
        async with self._database.platform() as session:
            taken = await leases.acquire(session, self._network, self._owner, self._terms.lease_seconds)
        if not taken:
            return
        try:
            network = await self.accept()
        except BaseException:
            for lease in taken:
                await self._release(lease)
            raise
        for lease in taken:
            self._start(lease, network)

    async def _renew(self) -> None:
        held = {key_id: loop for key_id, (loop, _) in self._loops.items()}
        self._renew_at = time.monotonic() + self._terms.lease_seconds / 3
        if not held:
            return
        async with self._database.platform() as session:
            kept = await leases.renew(session, [loop.work.lease for loop in held.values()], self._terms.lease_seconds)
        for key_id in held.keys() - kept:
            held[key_id].stop()

    def _start(self, lease: Lease, network: Network) -> None:
        loop = self.loop_for(lease, network)
        task = asyncio.create_task(loop.run(), name=f"key {lease.address} on {lease.network}")
        task.add_done_callback(lambda _: self._tend.set())
        self._loops[lease.key_id] = (loop, task)
        _log.info("txmanager.lease_taken", network=lease.network, address=lease.address, epoch=lease.epoch)

    async def _drain(self) -> None:
        """Let each loop end its step, then give its key back, so that another worker goes on at once."""
        for loop, _ in self._loops.values():
            loop.stop()
        tasks = [task for _, task in self._loops.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for loop, _ in self._loops.values():
            await self._release(loop.work.lease)
        self._loops.clear()

    async def _release(self, lease: Lease) -> None:
        try:
            async with self._database.platform() as session:
                await leases.release(session, lease)
        except Exception as error:  # noqa: BLE001 - it runs out by itself
            _log.warning("txmanager.lease_not_released", address=lease.address, error=str(error))

    async def _tell_refusal(self, refusal: Exception) -> None:
        _log.error("txmanager.refused", network=self._network, reason=str(refusal))
        try:
            async with self._database.platform() as session:
                await alerts.network_refused(session, self._network, str(refusal))
        except Exception as error:  # noqa: BLE001 - the refusal itself must come through
            _log.warning("txmanager.alert_not_written", error=str(error))

    async def _listen(self) -> None:
        """Be told of queued intents at once; without the connection, the loops poll."""
        while True:
            try:
                connection = await self._database.dedicated()
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _connection, lost=lost: lost.set())
                try:
                    await connection.add_listener(CHANNEL, self._notified)
                    await lost.wait()
                finally:
                    await connection.close(timeout=2)
            except Exception as error:
                if not driver.is_connection_failure(error):
                    raise
            await asyncio.sleep(_LISTENER_RETRY_SECONDS)

    def _notified(self, _connection: driver.RawConnection, _pid: int, _channel: str, payload: str) -> None:
        known = next((loop for key_id, (loop, _) in self._loops.items() if str(key_id) == payload), None)
        if known is not None:
            known.wake()
        elif payload == self._network:
            self._tend.set()

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._tend.set()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(_TEND_SECONDS):
                await self._tend.wait()
        except TimeoutError:
            return


class KeyEngine(Engine):
    """The engine of an EVM network."""

    def __init__(
        self,
        *,
        database: Database,
        rpc: Rpc,
        secrets: KeyRing,
        network: str,
        deployment_id: UUID,
        terms: EngineTerms | None = None,
    ) -> None:
        """As with every engine, and the way to its chain."""
        super().__init__(database=database, secrets=secrets, network=network, deployment_id=deployment_id, terms=terms)
        self._chain = Chain(rpc)

    async def accept(self) -> Network:
        """Compare chain id, genesis and deployment with the database's."""
        return await recovery.accepted_network(self._database, self._chain, self._network, self._deployment_id)

    def loop_for(self, lease: Lease, network: Network) -> KeyLoop:
        """What works for a key."""
        work = KeyContext(
            database=self._database, chain=self._chain, signer=self._signer, network=network, terms=self._terms, lease=lease
        )
        return KeyLoop(work, self.accept)
