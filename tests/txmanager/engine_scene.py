"""What the scenes of every engine share: engines in processes of their own, and waiting for what becomes of intents."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from guerdon.kit.database import Database
from guerdon.kit.secrets import MasterKey
from guerdon.txmanager import repository, service, service_keys
from guerdon.txmanager.models import Attempt, Intent, IntentState, Key
from guerdon.txmanager.terms import EngineTerms
from tests.fakes.rpc_proxy import RpcProxy
from tests.support.postgres import Urls


@dataclass
class EngineProcess:
    """An engine as a real process."""

    child: asyncio.subprocess.Process

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.child.returncode is None:
            self.child.send_signal(signal.SIGKILL)
        await self.child.wait()

    async def terminate(self) -> int:
        """SIGTERM, and wait until it has drained; its exit code."""
        self.child.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.child.wait(), 15)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.child.send_signal(signal.SIGCONT)


class EngineScene:
    """One key on one network; a scene of an engine adds its chain."""

    network: ClassVar[str]
    namespace: ClassVar[str]
    quick: ClassVar[EngineTerms]
    database: Database
    urls: Urls
    proxy: RpcProxy
    key_id: UUID
    master: MasterKey
    deployment_id: UUID

    @asynccontextmanager
    async def process(self, terms: EngineTerms | None = None) -> AsyncIterator[EngineProcess]:
        """An engine in a process of its own; killed at the end if it still runs."""
        chosen = terms or self.quick
        told: dict[str, Any] = {
            "database": self.urls.app, "rpc": self.proxy.url, "network": self.network, "namespace": self.namespace,
            "deployment": str(self.deployment_id), "master": self.master.to_text(),
            "terms": {name: getattr(chosen, name) for name in EngineTerms.__dataclass_fields__},
        }  # fmt: skip
        environment = {**os.environ, "ENGINE": json.dumps(told)}
        child = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.txmanager.engine_process", env=environment)
        process = EngineProcess(child)
        try:
            yield process
        finally:
            await process.kill()

    async def intent(self, intent_id: UUID) -> Intent:
        async with self.database.platform() as session:
            return await service.intent(session, intent_id)

    async def attempts(self, intent_id: UUID) -> list[Attempt]:
        async with self.database.platform() as session:
            return await repository.attempts(session, intent_id)

    async def key(self) -> Key:
        async with self.database.platform() as session:
            return await service_keys.key(session, self.key_id)

    async def until(self, intent_id: UUID, *states: IntentState, seconds: float = 30) -> Intent:
        """Wait for an intent to be in one of these states."""
        return await self.eventually(lambda one: one.state in states, intent_id, seconds, what=" or ".join(states))

    async def eventually(
        self, holds: Callable[[Intent], bool], intent_id: UUID, seconds: float = 30, *, what: str = "what was expected"
    ) -> Intent:
        deadline = time.monotonic() + seconds
        while True:
            intent = await self.intent(intent_id)
            if holds(intent):
                return intent
            if time.monotonic() > deadline:
                outcomes = [one.outcome for one in await self.attempts(intent_id)]
                reason = (await self.key()).pause_reason
                message = f"not {what}, but {intent.state}: {intent.error or intent.held_back}, {outcomes}, {reason}"
                raise AssertionError(message)
            await asyncio.sleep(0.02)
