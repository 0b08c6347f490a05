"""What the lives of all leased keys have in common: turn after turn until the lease ends, and what follows when a turn fails.

A turn is `key_loop.py`'s on EVM networks, `solana/key_loop.py`'s on Solana.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import structlog

from guerdon.chains.port import ChainUnavailableError, WrongChainError
from guerdon.kit.clock import rest
from guerdon.txmanager import alerts, metrics, repository_keys
from guerdon.txmanager.context import LeasedKey
from guerdon.txmanager.errors import (
    AttemptRaceError,
    DeploymentMismatchError,
    LeaseLostError,
    NetworkNotFoundError,
)

FATAL = (WrongChainError, DeploymentMismatchError, NetworkNotFoundError)
"""Nothing may be sent until an operator has acted: these end the engine."""
_log = structlog.stdlib.get_logger("guerdon.txmanager")
Work = TypeVar("Work", bound=LeasedKey)


class Loop(ABC, Generic[Work]):
    """Works for one key under one lease."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._wake = asyncio.Event()
        self._stopping = False
        self._trouble = _Trouble(work)

    @abstractmethod
    async def turn(self) -> None:
        """Do what there is to do now."""

    @abstractmethod
    def hurry(self) -> None:
        """Something was queued: the next turn looks for it."""

    @abstractmethod
    def start_over(self) -> None:
        """A turn failed: what was checked of the chain is to be checked again."""

    @abstractmethod
    def pause_seconds(self) -> float:
        """How long to rest after a turn."""

    def wake(self) -> None:
        """There may be something to do now."""
        self.hurry()
        self._wake.set()

    def stop(self) -> None:
        """End after the present step."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Work until stopped, or until another worker has the key."""
        while not self._stopping:
            self._wake.clear()
            try:
                await self.turn()
                await self._trouble.over()
                delay = self.pause_seconds()
            except LeaseLostError:
                _log.warning("txmanager.lease_lost", address=self.work.address, epoch=self.work.lease.epoch)
                return
            except AttemptRaceError:
                delay = 0.0
            except FATAL:
                raise
            except Exception as error:  # noqa: BLE001 - an error is no proof of anything: try again, and tell an operator
                self.start_over()
                delay = await self._trouble.note(error)
            if not self._stopping and delay > 0:
                await rest(delay, self._wake)


class _Trouble:
    """How long a key's work has failed, how long to wait before the next try, and when to tell an operator."""

    def __init__(self, work: LeasedKey) -> None:
        self._work = work
        self._since: float | None = None
        self._delay = 0.0
        self._told = True
        """Is an alert open? Until the first good turn, perhaps that of a worker which had the key before."""

    async def note(self, error: Exception) -> float:
        """The seconds to wait after one more failure."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        self._delay = min(self._work.terms.max_backoff_seconds, max(0.2, 2 * self._delay))
        silent = isinstance(error, ChainUnavailableError)
        metrics.count_failure(self._work.network.name, "chain" if silent else "other")
        _log.warning(
            "txmanager.step_failed", address=self._work.address, network=self._work.network.name,
            error=f"{type(error).__name__}: {error}", retry_in_seconds=self._delay, exc_info=not silent,
        )  # fmt: skip
        if now - self._since >= self._work.terms.alert_after_seconds:
            await self._tell(error, now - self._since, silent=silent)
        return self._delay

    async def over(self) -> None:
        """A turn went well."""
        if self._told:
            async with self._work.database.platform() as session:
                await alerts.network_answers(session, self._work.network.name)
                key = await repository_keys.key(session, self._work.key_id)
                if key is not None:
                    await alerts.key_works(session, key)
        self._since, self._delay, self._told = None, 0.0, False

    async def _tell(self, error: Exception, seconds: float, *, silent: bool) -> None:
        described = f"{type(error).__name__}: {error}"[:500]
        try:
            async with self._work.database.platform() as session:
                if silent:
                    await alerts.network_silent(session, self._work.network.name, seconds, described)
                else:
                    key = await repository_keys.key(session, self._work.key_id)
                    if key is not None:
                        await alerts.key_failing(session, key, seconds, described)
        except Exception as failure:  # noqa: BLE001 - where the database is what fails, the log has to do
            _log.warning("txmanager.alert_not_written", error=str(failure))
            return
        self._told = True
