"""What the engine makes sure of before it signs for a Solana key: the right chain and database, and nothing on the chain that
the key sent and the database does not know (SAFETY S21); and a key that was out of lamports going on.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog

from guerdon.chains.solana.client import MOST_SIGNATURES, SolanaClient
from guerdon.chains.solana.transfers import ChainTransaction
from guerdon.chains.solana.values import SignatureEntry
from guerdon.kit.database import Database
from guerdon.txmanager import alerts, foreign, recovery, repository_keys
from guerdon.txmanager import repository as shared
from guerdon.txmanager.models import Network
from guerdon.txmanager.solana import repository
from guerdon.txmanager.solana.context import SolanaContext
from guerdon.txmanager.solana.signing import LEAST_LEFT, most_spent
from guerdon.txmanager.terms import EngineTerms

_KNOWN_AT_ONCE = 500
_log = structlog.stdlib.get_logger("guerdon.txmanager")


async def accepted_network(database: Database, chain: SolanaClient, name: str, deployment_id: UUID) -> Network:
    """The network's row, once chain and deployment are proven to be the right ones; else raises what is wrong."""
    genesis_hash = await chain.genesis_hash()
    network = await recovery.accept(database, name, deployment_id, None, genesis_hash)
    chain.expect(genesis_hash)
    return network


@dataclass(frozen=True, slots=True)
class Review:
    """What the chain has of a key after the last transaction up to which everything is accounted for. All of it is final."""

    newest: str | None
    """The last one that there is; None if there is nothing new."""
    unknown: tuple[ChainTransaction, ...]
    """Those that the key signed, that succeeded, and that the database does not know; oldest first."""
    failed: tuple[SignatureEntry, ...]
    """Those that the key signed and that did nothing but cost a fee."""
    missing: tuple[SignatureEntry, ...]
    """Those of which the node does not tell more than that they were."""
    is_complete: bool
    """False: there are more than are looked through at a time."""


async def review(database: Database, chain: SolanaClient, key_id: UUID, terms: EngineTerms | None = None) -> Review:
    """Compare what the chain has of a key with the database; changes nothing. Raises `ChainUnavailableError`."""
    terms = terms or EngineTerms()
    async with database.platform() as session:
        key = await repository_keys.key(session, key_id)
    if key is None:
        return Review(None, (), (), (), is_complete=True)
    listed, is_complete = await _listed(chain, key.address, key.reviewed_signature, terms.scan_signatures)
    # The database is read after the chain: what it has signed is committed before anybody can know of it.
    others: list[SignatureEntry] = []
    for start in range(0, len(listed), _KNOWN_AT_ONCE):
        part = listed[start : start + _KNOWN_AT_ONCE]
        async with database.platform() as session:
            known = await repository.known_signatures(session, key.network, [one.signature for one in part])
        others += [one for one in part if one.signature not in known]
    landed = await chain.transactions([one.signature for one in others])
    unknown: list[ChainTransaction] = []
    failed: list[SignatureEntry] = []
    for one in reversed(others):
        found = landed.get(one.signature)
        # Anybody may name the key in a transaction, or send it something; only what it signed is its own.
        if found is not None and key.address in found.signers:
            if found.succeeded:
                unknown.append(found)
            else:
                failed.append(one)
    missing = tuple(one for one in others if one.signature not in landed)
    return Review(listed[0].signature if listed else None, tuple(unknown), tuple(failed), missing, is_complete)


async def _listed(chain: SolanaClient, address: str, until: str | None, most: int) -> tuple[list[SignatureEntry], bool]:
    found: list[SignatureEntry] = []
    while True:
        page = await chain.signatures(address, "finalized", until=until, before=found[-1].signature if found else None)
        found += page
        if len(page) < MOST_SIGNATURES:
            return found, True
        if len(found) >= most:
            return found, False


async def check_key(work: SolanaContext) -> None:
    """Pause the key if the chain knows a transaction of it that the database does not; else remember how far was looked."""
    seen = await review(work.database, work.chain, work.key_id, work.terms)
    async with work.write() as (session, key):
        if seen.unknown or seen.missing or not seen.is_complete:
            await foreign.pause(session, key, _described(work.address, seen))
            return
        if key.paused_at is None or key.resumes_by_itself:
            await repository.note_reviewed(session, key.id, seen.newest)
    if seen.failed:
        _log.warning("txmanager.failed_from_outside", address=work.address, transactions=[one.signature for one in seen.failed])


def _described(address: str, seen: Review) -> str:
    if not seen.is_complete:
        return f"more transactions name {address} than can be looked through: import what it sent, or accept it"
    names = [one.signature for one in (*seen.unknown, *seen.missing)]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 - as many as a sentence bears
    return (
        f"the chain has transactions of {address} that the database does not know ({', '.join(names[:3])}{more}): the database "
        "is older than the chain, or somebody else uses this key"
    )


async def wait_out(work: SolanaContext) -> int:
    """The finalized height up to which nothing new may be signed; 0 if nobody can have sent what the database does not know.

    What a restored database has forgotten may still be on its way to a block, and no node tells of that. It can land no more
    once every blockhash of now is too old.
    """
    async with work.database.platform() as session:
        unseen = await repository.unseen_seconds(session, work.key_id)
    if unseen < work.terms.unseen_seconds:
        return 0
    survey = await work.chain.survey(work.address)
    until = survey.last_valid_height + work.expiry.margin_blocks
    _log.info("txmanager.waits_out", address=work.address, unseen_seconds=round(unseen), until_height=until)
    return until


async def resume_when_funded(work: SolanaContext) -> bool:
    """Resume if the key can pay for what is in flight and for the next intent; did it?"""
    async with work.database.platform() as session:
        in_flight = await repository.signed(session, work.key_id, shared.PENDING)
        following = await repository.unsigned(session, work.key_id, 1)
    needed = LEAST_LEFT + sum(most_spent(one.intent, one.newest.gas_limit, int(one.newest.max_fee_per_gas)) for one in in_flight)
    needed += sum(most_spent(one, 0, 0) for one in following)
    lamports = await work.chain.balance(work.address)
    async with work.write() as (session, key):
        await repository_keys.note_native_balance(session, key.id, lamports)
        if lamports <= needed:
            return False
        if await repository_keys.resume(session, key.id, only_by_itself=True):
            await alerts.key_resumed(session, key)
            return True
    return False
