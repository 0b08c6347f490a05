"""The life of one leased key: its steps in order, again and again, until the lease ends or the worker stops.

    check      the right chain and database; nothing unknown on the chain; send again what it lost     recovery.py
    bind       simulate queued intents, give them nonces, commit                                       binding.py
    sign       sign what has a nonce, store the bytes, commit                                          signing.py
    send       hand stored bytes to a node                                                             sending.py
    look       included, final, reorganised, killed                                                    watching.py
    settle     nonces that were used from outside                                                      foreign.py
    replace    raise fees, kill on request, send again what a pool dropped or the chain lost           signing.py, sending.py

Each step reads what there is to do from the database, so that any of them may be the last one before a crash.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

from guerdon.chains.port import Head
from guerdon.txmanager import repository, repository_keys
from guerdon.txmanager.binding import Binding, bind_queued
from guerdon.txmanager.context import KeyContext
from guerdon.txmanager.foreign import explain_counter, settle_used
from guerdon.txmanager.funds import resume_when_funded
from guerdon.txmanager.loop import Loop
from guerdon.txmanager.models import IntentState
from guerdon.txmanager.recovery import check_key, send_lost
from guerdon.txmanager.sending import send_again, send_signed
from guerdon.txmanager.signing import replace_overdue, sign_bound
from guerdon.txmanager.watching import Look, give_up_waiting, look

_LOOKS_A_HEAD = 4
"""Signed to final takes three looks at one head at most: included, final, nothing new."""
_STALE_HEAD_BLOCKS = 5


class KeyLoop(Loop[KeyContext]):
    """Works for one key of an EVM network under one lease."""

    def __init__(self, work: KeyContext, accept: Callable[[], Awaitable[object]]) -> None:
        """`accept` proves that chain and database are the right ones; it is asked again after every outage."""
        super().__init__(work)
        self._accept = accept
        self._checked = False
        self._lost_due_at = 0.0
        self._in_flight = False
        self._head: Head | None = None
        self._head_seen_at = 0.0
        self._resent_at_block = 0
        self._submit_due_at = 0.0
        self._funds_due_at = 0.0
        self._explained: set[tuple[UUID, int]] = set()
        self._refused: dict[UUID, tuple[float, float]] = {}
        """Intents whose bytes a node did not take: when to try again, and the delay after that."""

    def hurry(self) -> None:
        """Look for queued intents in the next turn."""
        self._submit_due_at = 0.0

    def start_over(self) -> None:
        """Check the chain first."""
        self._checked = False

    async def turn(self) -> None:
        """Do what there is to do now."""
        if not self._checked:
            await self._check()
        if not self._in_flight and time.monotonic() >= self._lost_due_at:
            await self._send_lost()
        if time.monotonic() >= self._submit_due_at:
            await self._submit()
        if self._in_flight:
            await self._follow()

    async def _check(self) -> None:
        await self._accept()
        await check_key(self.work)
        self._checked = True
        self._head, self._head_seen_at = None, time.monotonic()
        self._lost_due_at = self._head_seen_at + self.work.terms.idle_check_seconds
        self._in_flight = True

    async def _send_lost(self) -> None:
        await send_lost(self.work)
        self._lost_due_at = time.monotonic() + self.work.terms.idle_check_seconds

    async def _submit(self) -> None:
        """Bind, sign and send what there is."""
        self._submit_due_at = time.monotonic() + self.work.terms.idle_poll_seconds
        async with self.work.database.platform() as session:
            key = await repository_keys.key(session, self.work.key_id)
            states = await repository.count_states(session, self.work.key_id)
            network = await repository_keys.network(session, self.work.network.name)
        if key is None or network is None:
            return
        self.work = replace(self.work, network=network)
        if key.paused_at is not None and key.resumes_by_itself and time.monotonic() >= self._funds_due_at:
            self._funds_due_at = time.monotonic() + self.work.terms.funds_check_seconds
            await resume_when_funded(self.work)
        if states.get(IntentState.QUEUED):
            binding = await bind_queued(self.work)
            if binding is Binding.COUNTER_BEHIND:
                await explain_counter(self.work)
            if binding is Binding.BOUND:
                states[IntentState.BOUND] = 1
        if states.get(IntentState.BOUND) and await sign_bound(self.work):
            states[IntentState.SIGNED] = 1
        if states.get(IntentState.SIGNED):
            await self._send()
        self._in_flight = any(states.get(state) for state in (IntentState.BOUND, *repository.WATCHED))

    async def _send(self) -> None:
        now = time.monotonic()
        waiting = frozenset(intent_id for intent_id, (due_at, _) in self._refused.items() if due_at > now)
        refused = {one.intent.id for one in await send_signed(self.work, waiting)}
        for intent_id in set(self._refused) - refused - waiting:
            del self._refused[intent_id]
        for intent_id in refused:
            _, delay = self._refused.get(intent_id, (0.0, self.work.block_seconds / 2))
            self._refused[intent_id] = (now + delay, min(2 * delay, self.work.terms.max_backoff_seconds))

    async def _follow(self) -> None:
        """Look, if there is a new head or none for too long, and act on what is seen."""
        head = await self.work.chain.head()
        now = time.monotonic()
        stale = now - self._head_seen_at > max(10, _STALE_HEAD_BLOCKS * self.work.block_seconds)
        if self._head is not None and head.hash == self._head.hash and not stale:
            return
        seen = await self._look_until_nothing_changes()
        self._head, self._head_seen_at = head, now
        if seen is not None:
            await replace_overdue(self.work, seen.seen)
            await self._send_again_if_due(seen, stale=stale)
            await give_up_waiting(self.work)
        await self._submit()

    async def _look_until_nothing_changes(self) -> Look | None:
        result: Look | None = None
        for _ in range(_LOOKS_A_HEAD):
            result = await look(self.work)
            if result is None:
                break
            new = [one for one in result.used if (one.intent.id, one.nonce) not in self._explained]
            # What is not seen as used any more is settled, and needs no remembering.
            self._explained.intersection_update((one.intent.id, one.nonce) for one in result.used)
            self._explained.update((one.intent.id, one.nonce) for one in await settle_used(self.work, new))
            if not result.changed:
                break
        return result

    async def _send_again_if_due(self, result: Look, *, stale: bool) -> None:
        height, patience = result.seen.head.number, self.work.terms.resend_after_blocks
        due = result.longest_wait_blocks >= patience and height - self._resent_at_block >= patience
        if due or (stale and result.longest_wait_blocks >= 0):
            self._resent_at_block = height
            await send_again(self.work)
            # Perhaps they wait for others, which were final and are lost.
            await self._send_lost()

    def pause_seconds(self) -> float:
        """Short while something is in flight."""
        if self._in_flight:
            return self.work.terms.poll_seconds(self.work.network.block_time_ms)
        return self.work.terms.idle_poll_seconds
