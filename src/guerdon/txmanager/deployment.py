"""Deploying contracts through intents (SAFETY S27): each step is queued once, found again after a kill, checked, recorded.

What is deployed is in `chains/artifacts`; what a network and its assets need is said by `setup.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from time import monotonic
from typing import Final
from uuid import UUID, uuid5

from guerdon.chains import contracts
from guerdon.kit.clock import Clock
from guerdon.kit.database import Database, PlatformSession, run_in_platform
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing
from guerdon.txmanager import repository, repository_keys, repository_treasuries, service, service_keys, tokens
from guerdon.txmanager.errors_treasuries import CodeMismatchError, DeploymentFailedError
from guerdon.txmanager.models import Contract, Intent, IntentState, Key, KeyPurpose
from guerdon.txmanager.signer import Signer
from guerdon.txmanager.tokens import Chains

Progress = Callable[[str], None]

_REFS: Final = UUID("6b1f0c1e-7d0a-5f0e-9a53-6d0e5a6f2b10")
"""Namespace of the refs below: a step has the same ref whenever and wherever it is asked for."""
_POLL_SECONDS: Final = 0.1
_TELL_EVERY_SECONDS: Final = 10
_DEAD: Final = (IntentState.FAILED, IntentState.VOID)
_LANDED: Final = (IntentState.INCLUDED, IntentState.FINAL)


class Until(Enum):
    """How long to wait for a step."""

    INCLUDED = "included"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class DeploymentDeps:
    """What deploying needs from the application. An engine for the network has to be running, here or in a worker."""

    database: Database
    chain: Chains
    ring: KeyRing
    clock: Clock


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of a deployment. `name` is its own on the network: a step that succeeded is never made again.

    One that `sets` a value is made again once another value was set since.
    """

    name: str
    kind: str
    key_id: UUID
    to: str | None
    data: bytes
    value_wei: int = 0
    sets: bool = False


class Deployment:
    """The steps on one network."""

    def __init__(self, deps: DeploymentDeps, network: str, progress: Progress) -> None:
        self._deps = deps
        self._network = network
        self._tell = progress
        self._signer = Signer(deps.ring)

    async def key(self, purpose: KeyPurpose, private_key: str | None = None) -> Key:
        """The network's first key of a purpose; made, or imported if `private_key` is given, where there is none."""
        async with self._deps.database.platform() as session:
            await service_keys.evm_network(session, self._network)
            known = await self._keys(session, purpose)
        if known:
            return known[0]
        if private_key is not None:
            return await self.import_key(purpose, private_key)

        async def make(session: PlatformSession) -> Key:
            await repository_treasuries.lock_network(session, self._network)
            known = await self._keys(session, purpose)
            return known[0] if known else await service_keys.create_key(session, self._signer, self._network, purpose)

        return await run_in_platform(self._deps.database, make)

    async def _keys(self, session: PlatformSession, purpose: KeyPurpose) -> list[Key]:
        return [key for key in await repository_keys.keys(session, self._network) if key.purpose == purpose]

    async def import_key(self, purpose: KeyPurpose, private_key: str) -> Key:
        """An existing key (hexadecimal). Raises `InvalidKeyError`, `KeyExistsError`."""
        address = self._signer.seal(uuid7(), self._network, private_key).address
        next_nonce = await tokens.next_nonce(await self._deps.chain(self._network), address)

        async def store(session: PlatformSession) -> Key:
            return await service_keys.import_key(
                session, self._signer, self._network, purpose, private_key=private_key, next_nonce=next_nonce
            )

        return await run_in_platform(self._deps.database, store)

    async def address_of(self, name: str) -> str | None:
        """Where a contract of ours is, if it is recorded."""
        async with self._deps.database.platform() as session:
            return await repository_treasuries.contract_address(session, self._network, name)

    async def run(self, steps: Sequence[Step], until: Until) -> list[Intent]:
        """Make the steps that are not made yet, at once, and wait for all.

        Raises `DeploymentFailedError` if one fails on chain; called again, it is tried again.
        """
        ids = [await run_in_platform(self._deps.database, _Ensure(self._network, step)) for step in steps]
        return await self._wait(ids, [step.name for step in steps], until)

    async def wait_final(self, intents: Sequence[Intent], name: str) -> None:
        """Wait until transactions are final. Raises `DeploymentFailedError`."""
        await self._wait([intent.id for intent in intents], [name] * len(intents), Until.FINAL)

    async def _wait(self, ids: Sequence[UUID], names: Sequence[str], until: Until) -> list[Intent]:
        tells_at = monotonic() + _TELL_EVERY_SECONDS
        while True:
            async with self._deps.database.platform() as session:
                intents = [await session.get_one(Intent, intent_id, populate_existing=True) for intent_id in ids]
            failed = [(name, intent) for name, intent in zip(names, intents, strict=True) if _is_dead(intent)]
            if failed:
                name, intent = failed[0]
                message = f"{name} failed on {self._network}: {intent.error or 'reverted'}. Mend the cause, then run it again."
                raise DeploymentFailedError(message)
            if all(_is_done(intent, until) for intent in intents):
                return intents
            if monotonic() > tells_at:
                tells_at += _TELL_EVERY_SECONDS
                await self._tell_waiting(names, intents, until)
            await asyncio.sleep(_POLL_SECONDS)

    async def _tell_waiting(self, names: Sequence[str], intents: Sequence[Intent], until: Until) -> None:
        for name, intent in zip(names, intents, strict=True):
            if _is_done(intent, until):
                continue
            async with self._deps.database.platform() as session:
                key = await session.get_one(Key, intent.key_id, populate_existing=True)
            why = key.pause_reason or intent.error or f"its transaction is {intent.state}"
            self._tell(f"waiting for {name}: {why}")

    async def deploy(self, creations: dict[str, bytes], key: Key, *, also: Sequence[Step] = ()) -> dict[str, str]:
        """Deploy contracts by their names (`RewardToken:LTZ`), check their code and record them; their addresses.

        `also` are made at the same time.
        """
        missing = {name: code for name, code in creations.items() if await self.address_of(name) is None}
        if missing:
            self._tell(f"deploying {', '.join(missing)}")
        steps = [Step(name, "deploy", key.id, None, code) for name, code in missing.items()]
        intents = await self.run([*steps, *also], Until.INCLUDED)
        for step, intent in zip(steps, intents[: len(steps)], strict=True):
            address = contracts.created_address(key.address, intent.nonce or 0)
            await self._check_code(step.name, address)
            await run_in_platform(self._deps.database, _Record(self._network, step.name, address, intent.id, self._deps.clock))
        return {name: str(await self.address_of(name)) for name in creations}

    async def _check_code(self, name: str, address: str) -> None:
        """The code on chain is the artifact's. Raises `CodeMismatchError`."""
        found = await tokens.code(await self._deps.chain(self._network), address)
        if not contracts.is_code_of(name.partition(":")[0], found):
            message = f"The code at {address} on {self._network} is not that of {name}."
            raise CodeMismatchError(message)


class _Ensure:
    """Find the intent of a step, or queue it: again only if it ended without success."""

    def __init__(self, network: str, step: Step) -> None:
        self._network = network
        self._step = step

    async def __call__(self, session: PlatformSession) -> UUID:
        step, number = self._step, 0
        name = step.name
        if step.sets and step.to is not None:
            latest = await repository.latest_call(session, step.key_id, step.kind, step.to)
            if latest is not None and latest.data == step.data and not _is_dead(latest):
                return latest.id
            name = f"{step.name} after {None if latest is None else latest.id}"
        while True:
            ref = uuid5(_REFS, f"{self._network}/{name}/{number}")
            known = await repository.intent_by_ref(session, step.kind, ref)
            if known is None:
                break
            if not _is_dead(known):
                return known.id
            number += 1
        return await service.queue(
            session,
            key_id=step.key_id,
            network=self._network,
            kind=step.kind,
            to=step.to,
            data=step.data,
            value_wei=step.value_wei,
            ref=ref,
        )


class _Record:
    def __init__(self, network: str, name: str, address: str, intent_id: UUID, clock: Clock) -> None:
        self._values = Contract(network=network, name=name, address=address, intent_id=intent_id, created_at=clock.now())

    async def __call__(self, session: PlatformSession) -> None:
        await repository_treasuries.record_contract(session, self._values)


def _is_dead(intent: Intent) -> bool:
    return intent.state in _DEAD or (intent.state == IntentState.INCLUDED and intent.succeeded is False)


def _is_done(intent: Intent, until: Until) -> bool:
    return intent.state == IntentState.FINAL or (until is Until.INCLUDED and intent.state in _LANDED)
