"""The life of one leased key of a Solana: its steps in order, again and again, until the lease ends or the worker stops.

    check      the right chain and database; nothing unknown on the chain                  recovery.py
    sign       simulate, price and sign what can't land yet or any more; store, commit     signing.py
    send       hand stored bytes to a node                                                 sending.py
    look       included, final, failed, expired                                            watching.py
    resend     the same bytes, until they are in a block or dead                           sending.py
    close      markers that guard nothing any more                                         closing.py

Each step reads what there is to do from the database, so that any of them may be the last one before a crash.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from guerdon.txmanager import repository as shared
from guerdon.txmanager import repository_keys
from guerdon.txmanager.loop import Loop
from guerdon.txmanager.models import IntentState
from guerdon.txmanager.solana.closing import close_markers
from guerdon.txmanager.solana.context import SolanaContext
from guerdon.txmanager.solana.recovery import check_key, resume_when_funded, wait_out
from guerdon.txmanager.solana.sending import send_again, send_signed
from guerdon.txmanager.solana.signing import sign_waiting
from guerdon.txmanager.solana.watching import Look, give_up_waiting, look

_RESEND_BLOCKS = 5
_LOOKS_AT_ONCE = 4
"""A first look, and those that what it found makes worthwhile."""


class SolanaLoop(Loop[SolanaContext]):
    """Works for one key of a Solana under one lease."""

    def __init__(self, work: SolanaContext, accept: Callable[[], Awaitable[object]]) -> None:
        """`accept` proves that chain and database are the right ones; it is asked again after every outage."""
        super().__init__(work)
        self._accept = accept
        self._checked = False
        self._wait_height: int | None = None
        """Nothing is signed before this height is final; None: not asked yet."""
        self._review_due_at = 0.0
        self._submit_due_at = 0.0
        self._look_due_at = 0.0
        self._resend_due_at = 0.0
        self._funds_due_at = 0.0
        self._close_due_at = time.monotonic() + work.terms.close_markers_seconds
        self._in_flight = True

    def hurry(self) -> None:
        """Look for queued intents in the next turn."""
        self._submit_due_at = 0.0

    def start_over(self) -> None:
        """Check the chain first."""
        self._checked = False

    async def turn(self) -> None:
        """Do what there is to do now."""
        now = time.monotonic()
        if not self._checked or now >= self._review_due_at:
            await self._check()
        if now >= self._submit_due_at:
            await self._submit()
        if self._in_flight and now >= self._look_due_at:
            await self._follow()
        if now >= self._close_due_at:
            self._close_due_at = now + self.work.terms.close_markers_seconds
            if await close_markers(self.work):
                self._close_due_at = now
                self._submit_due_at = 0.0

    async def _check(self) -> None:
        if not self._checked:
            await self._accept()
        if self._wait_height is None:
            self._wait_height = await wait_out(self.work)
        if self._wait_height:
            # Remembered as looked at only when the wait is over: a restart in the middle begins it anew.
            _, height = await self.work.chain.finalized()
            self._wait_height = 0 if height > self._wait_height else self._wait_height
        if not self._wait_height:
            await check_key(self.work)
        self._checked = True
        soon, usual = self.work.terms.poll_seconds(self.work.network.block_time_ms), self.work.terms.idle_check_seconds
        self._review_due_at = time.monotonic() + (soon if self._wait_height else usual)

    async def _submit(self) -> None:
        """Sign and send what there is."""
        self._submit_due_at = time.monotonic() + self.work.terms.idle_poll_seconds
        async with self.work.database.platform() as session:
            key = await repository_keys.key(session, self.work.key_id)
            states = await shared.count_states(session, self.work.key_id)
            network = await repository_keys.network(session, self.work.network.name)
        if key is None or network is None:
            return
        self.work = replace(self.work, network=network)
        if key.paused_at is not None and key.resumes_by_itself and time.monotonic() >= self._funds_due_at:
            self._funds_due_at = time.monotonic() + self.work.terms.funds_check_seconds
            await resume_when_funded(self.work)
        waiting = any(states.get(state) for state in shared.UNSIGNED)
        if waiting and not self._wait_height and await sign_waiting(self.work):
            states[IntentState.SIGNED] = 1
            # There may be more than fit at once.
            self._submit_due_at = 0.0
        if states.get(IntentState.SIGNED):
            await send_signed(self.work)
            self._resend_due_at = time.monotonic() + _RESEND_BLOCKS * self.work.block_seconds
        self._in_flight = any(states.get(state) for state in shared.WATCHED)

    async def _follow(self) -> None:
        """Look until nothing changes, and send again what no block has."""
        result: Look | None = None
        for _ in range(_LOOKS_AT_ONCE):
            result = await look(self.work)
            if result is None or not result.changed:
                break
            self._submit_due_at = 0.0
        self._look_due_at = time.monotonic() + self.work.terms.poll_seconds(self.work.network.block_time_ms)
        if result is None:
            self._in_flight = False
            return
        if result.pending and time.monotonic() >= self._resend_due_at:
            self._resend_due_at = time.monotonic() + _RESEND_BLOCKS * self.work.block_seconds
            await send_again(self.work, result.pending)
        await give_up_waiting(self.work)

    def pause_seconds(self) -> float:
        """Short while something is in flight."""
        if not self._submit_due_at:
            return 0.0
        if self._in_flight or self._wait_height:
            return self.work.terms.poll_seconds(self.work.network.block_time_ms)
        return self.work.terms.idle_poll_seconds
