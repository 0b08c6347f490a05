"""What intake knows of programs without asking each time: terms, domains, keys, rules; and of admin keys.

A program is asked for its `config_version` at most twice a second, and read again when it changed; a notification spares
the wait. That a decision rests on the present version is checked once more when its batch is loaded (`booking.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from uuid import UUID

import structlog

from guerdon.activity import repository_directory as repository
from guerdon.activity.planning import Terms
from guerdon.earning import repository as rules
from guerdon.earning.models import Rule
from guerdon.earning.terms import ProgramTerms, RuleTerms
from guerdon.kit import driver
from guerdon.kit.clock import Clock, rest
from guerdon.kit.database import Database, ProgramSession
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, parse_uuid
from guerdon.kit.secrets import KeyRing
from guerdon.programs import repository as programs
from guerdon.programs.administration import Operator, operator_of
from guerdon.programs.domains import is_one_of
from guerdon.programs.errors import InvalidAdminKeyError, ProgramNotFoundError
from guerdon.programs.models import Program
from guerdon.programs.security_keys import SigningKey, signing_keys

FRESH_SECONDS: Final = 0.5
MAX_PROGRAMS: Final = 2_000
MAX_STRANGERS: Final = 5_000
"""Brand ids, hosts and tokens that nobody knows, kept for as long so that asking for them costs little."""
RECONNECT_SECONDS: Final = 1.0

log = structlog.get_logger("guerdon.directory")

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class KnownProgram:
    """A program as intake needs it."""

    id: UUID
    brand_id: str
    asset_id: UUID
    terms: Terms
    domains: frozenset[str]
    keys: tuple[SigningKey, ...]
    synthetic_domains: frozenset[str]
    unsigned_reports: bool
    unsigned_lookups: bool

    def owns(self, host: str | None) -> bool:
        """Is the host one of the program's domains?"""
        return host is not None and is_one_of(host, self.domains)


class _Cache(Generic[Key, Value]):
    """The newest `limit` answers; each is made once at a time and counts as fresh for a while."""

    def __init__(self, limit: int, fresh_seconds: float) -> None:
        self._limit = limit
        self._fresh_seconds = fresh_seconds
        self._entries: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._making: dict[Key, asyncio.Task[Value]] = {}

    def peek(self, key: Key) -> Value | None:
        """The last answer, fresh or not."""
        entry = self._entries.get(key)
        return None if entry is None else entry[1]

    def fresh(self, key: Key) -> tuple[Value] | None:
        """The answer if it need not be asked again, in a tuple since it may be None."""
        entry = self._entries.get(key)
        return (entry[1],) if entry is not None and time.monotonic() < entry[0] else None

    async def get(self, key: Key, make: Callable[[], Awaitable[Value]]) -> Value:
        """The fresh answer, or that of `make`; who asks meanwhile waits for the same."""
        found = self.fresh(key)
        return found[0] if found is not None else await asyncio.shield(self._made(key, make))

    def renew_in_time(self, key: Key, make: Callable[[], Awaitable[Value]]) -> None:
        """Have an answer that is fresh made anew once half of its time is over."""
        if time.monotonic() + self._fresh_seconds / 2 >= self._entries[key][0] and key not in self._making:
            # An error is nobody's here: when the answer's time is over, whoever asks meets it.
            self._made(key, make).add_done_callback(lambda task: task.cancelled() or task.exception())

    def _made(self, key: Key, make: Callable[[], Awaitable[Value]]) -> asyncio.Task[Value]:
        task = self._making.get(key)
        if task is None:
            task = asyncio.ensure_future(self._make(key, make))
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        return task

    async def _make(self, key: Key, make: Callable[[], Awaitable[Value]]) -> Value:
        # Fresh from before it was asked: what changes while the answer is on its way is then not missed.
        until = time.monotonic() + self._fresh_seconds
        value = await make()
        self._entries[key] = (until, value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)
        return value

    def expire(self, key: Key | None = None) -> None:
        """Ask again next time: for one key, or for all."""
        for known in list(self._entries) if key is None else [key]:
            entry = self._entries.get(known)
            if entry is not None:
                self._entries[known] = (0.0, entry[1])


class Directory:
    """Programs by brand id and id, admin keys, whether a host is anybody's domain. Bounded, and never long out of date."""

    def __init__(self, database: Database, ring: KeyRing, clock: Clock, *, fresh_seconds: float = FRESH_SECONDS) -> None:
        """`fresh_seconds` is for how long nothing is asked again, unless a change is told."""
        self._database = database
        self._ring = ring
        self._clock = clock
        self._ids = _Cache[str, UUID | None](MAX_STRANGERS, fresh_seconds)
        self._programs = _Cache[UUID, KnownProgram | None](MAX_PROGRAMS, fresh_seconds)
        self._only = _Cache[None, UUID | None](1, fresh_seconds)
        self._operators = _Cache[bytes, Operator | None](MAX_STRANGERS, fresh_seconds)
        self._hosts = _Cache[str, bool](MAX_STRANGERS, fresh_seconds)

    async def by_brand_id(self, brand_id: str) -> KnownProgram | None:
        """The program of a brand id in lower case."""
        known = self._ids.peek(brand_id)
        if known is None:
            # A brand id never moves to another program, so only "unknown" goes out of date.
            known = await self._ids.get(brand_id, lambda: self._id_of(brand_id))
        return None if known is None else await self.by_id(known)

    def known(self, brand_id: str) -> KnownProgram | None:
        """The program of a brand id in lower case, if it is known and need not be asked again now."""
        program_id = self._ids.peek(brand_id)
        found = None if program_id is None else self._programs.fresh(program_id)
        if program_id is None or found is None:
            return None
        # Whoever is asked for all the time is asked again in good time, beside the traffic.
        self._programs.renew_in_time(program_id, lambda: self._refreshed(program_id))
        return found[0]

    async def by_id(self, program_id: UUID) -> KnownProgram | None:
        """The program of an id."""
        found = self._programs.fresh(program_id)
        if found is not None:
            return found[0]
        return await self._programs.get(program_id, lambda: self._refreshed(program_id))

    async def only_program(self) -> KnownProgram | None:
        """The only program of the installation, if there is just one."""
        program_id = await self._only.get(None, self._only_id)
        return None if program_id is None else await self.by_id(program_id)

    async def terms(self, program_id: UUID, *, at_least: int = 0) -> Terms:
        """A program's terms, of the given version or a later one. Raises `ProgramNotFoundError`."""
        known = await self.by_id(program_id)
        if known is not None and known.terms.config_version < at_least:
            self._programs.expire(program_id)
            known = await self.by_id(program_id)
        if known is None:
            raise ProgramNotFoundError
        return known.terms

    async def operator(self, token: str) -> Operator:
        """Whom an admin key stands for. Raises `InvalidAdminKeyError`."""
        # By its hash: a token that was sent stays nowhere in memory.
        operator = await self._operators.get(hashlib.sha256(token.encode()).digest(), lambda: self._operator_of(token))
        if operator is None:
            raise InvalidAdminKeyError
        return operator

    async def is_anyones_domain(self, host: str) -> bool:
        """Whether some program has registered this host (DESIGN section 8: preflights)."""
        return await self._hosts.get(host, lambda: self._has_domain(host))

    async def run(self, stop: asyncio.Event) -> None:
        """Listen for changes until told to stop. Without it everything still holds, up to half a second later."""
        while not stop.is_set():
            try:
                await self._listen(stop)
            except Exception as error:
                if not driver.is_connection_failure(error):
                    raise
                log.warning("directory_lost_database", error=type(error).__name__)
                await rest(RECONNECT_SECONDS, stop)

    async def _listen(self, stop: asyncio.Event) -> None:
        connection = await self._database.dedicated()
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(
                programs.CONFIG_CHANNEL, lambda _connection, _pid, _channel, payload: self._changed(payload)
            )
            # What changed before this connection listened, nobody said.
            self._changed("")
            waits = {asyncio.create_task(stop.wait()), asyncio.create_task(lost.wait())}
            _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
        finally:
            await connection.close(timeout=2)

    def _changed(self, payload: str) -> None:
        program_id = parse_uuid(payload)
        self._programs.expire(program_id)
        self._ids.expire()
        self._only.expire()
        self._hosts.expire()
        if program_id is None:
            self._operators.expire()

    async def _id_of(self, brand_id: str) -> UUID | None:
        async with self._database.platform() as session:
            program = await programs.program_by_brand_id(session, brand_id)
            return None if program is None else program.id

    async def _only_id(self) -> UUID | None:
        async with self._database.platform() as session:
            first = [program.id for program in await programs.programs_after(session, None, 2)]
            return first[0] if len(first) == 1 else None

    async def _operator_of(self, token: str) -> Operator | None:
        try:
            async with self._database.platform() as session:
                return await operator_of(session, token)
        except InvalidAdminKeyError:
            return None

    async def _has_domain(self, host: str) -> bool:
        labels = host.split(".")
        parents = [f"*.{'.'.join(labels[start:])}" for start in range(1, len(labels))]
        async with self._database.platform() as session:
            return await repository.any_has_domain(session, [host, *parents])

    async def _refreshed(self, program_id: UUID) -> KnownProgram | None:
        """The program as it is: as cached if its version says so."""
        if program_id == PLATFORM_PROGRAM_ID:
            return None
        known = self._programs.peek(program_id)
        async with self._database.program(program_id) as session:
            version = await repository.config_version(session, program_id)
            if version is None:
                return None
            if known is not None and known.terms.config_version == version:
                return known
            return await self._read(session, program_id)

    async def _read(self, session: ProgramSession, program_id: UUID) -> KnownProgram | None:
        program = await programs.program_by_id(session, program_id)
        if program is None:
            return None
        # The version is the one read first: a change while the rest is read makes it look old, and it is read again.
        ways = await repository.ways_of_delivery(session)
        terms = {rule.event_type: rule_terms(rule, ways[rule.asset_id]) for rule in await rules.rules_of(session, program_id)}
        return KnownProgram(
            id=program.id,
            brand_id=program.brand_id,
            asset_id=program.asset_id,
            terms=Terms(program.config_version, program_terms(program), terms),
            domains=frozenset(domain.domain for domain in await programs.domains_of(session, program_id)),
            keys=tuple(await signing_keys(session, self._ring, program_id, self._clock.now())),
            synthetic_domains=frozenset({program.synthetic_domain} if program.synthetic_domain else ()),
            unsigned_reports=program.unsigned_reports,
            unsigned_lookups=program.unsigned_lookups,
        )


def program_terms(program: Program) -> ProgramTerms:
    """What the decision needs of a program."""
    return ProgramTerms(
        automation_enabled=program.automation_enabled,
        browser_cap_program=program.browser_cap_program,
        browser_cap_account=program.browser_cap_account,
        browser_cap_ip=program.browser_cap_ip,
    )


def rule_terms(rule: Rule, delivery: str) -> RuleTerms:
    """What the decision needs of a rule, whose asset reaches people by `delivery`."""
    return RuleTerms(
        event_type=rule.event_type,
        asset_id=rule.asset_id,
        delivery=delivery,
        reward=rule.reward,
        unit_field=rule.unit_field,
        unit_size=rule.unit_size,
        unit_min=rule.unit_min,
        unit_max=rule.unit_max,
        max_claims_per_user=rule.max_claims_per_user,
        max_claims_total=rule.max_claims_total,
        cooldown_hours=rule.cooldown_hours,
        enabled=rule.enabled,
        open_to_browsers=rule.open_to_browsers,
        requires_email=rule.requires_email,
        channels=frozenset(rule.channels),
        daily_cap_account=rule.daily_cap_account,
        daily_cap_ip=rule.daily_cap_ip,
        daily_cap_program=rule.daily_cap_program,
        version=rule.version,
    )
