"""Does each network's node answer, for the chain that the database knows, and is the code on it ours (SAFETY S21)? Reads only."""

from __future__ import annotations

from datetime import UTC, datetime

from guerdon.chains.anvil import LocalChainError, find_anvil
from guerdon.chains.contracts import is_code_of
from guerdon.chains.evm import EvmClient
from guerdon.chains.networks import LOCAL_NETWORKS, SOLANA
from guerdon.chains.port import ChainUnavailableError, WrongChainError
from guerdon.chains.solana.client import SolanaClient
from guerdon.doctor.findings import Finding, mend, note, ok
from guerdon.kit.database import Database
from guerdon.settings import Settings, rpc_variable
from guerdon.txmanager import repository_keys, repository_treasuries
from guerdon.txmanager.connections import reference_of
from guerdon.txmanager.models import Contract, Key, Network

AREA = "chains"
_TIMEOUT_SECONDS = 5
_STALE_SECONDS = 120
_LOW_GAS_WEI = 10**16


def look_for_anvil() -> Finding:
    """The program of the local chain; needed by `guerdon up` only."""
    try:
        return ok(AREA, "anvil", str(find_anvil()))
    except LocalChainError as error:
        return note(AREA, "anvil", error.problem, f"for `guerdon up`: {error.remedy}")


async def look(settings: Settings, database: Database) -> list[Finding]:
    """Everything about the networks that are set up in this database."""
    async with database.platform() as session:
        networks = await repository_keys.networks(session)
        keys = await repository_keys.keys(session)
        contracts = await repository_treasuries.contracts(session)
    findings = [look_for_anvil()]
    if not networks:
        findings.append(
            note(AREA, "networks", "none is set up", "`guerdon up` sets up a local one, `guerdon network add` any other")
        )
    for network in networks:
        url = settings.rpc_url(network.name)
        if url is None:
            findings.append(_without_address(network))
            continue
        if network.namespace == SOLANA:
            findings.append(await _solana(url, network))
            continue
        client = EvmClient(url, timeout_s=_TIMEOUT_SECONDS)
        try:
            findings += await _network(client, network, keys, [one for one in contracts if one.network == network.name])
        except ChainUnavailableError as error:
            findings.append(mend(AREA, network.name, error.message, _reach(network)))
        finally:
            await client.aclose()
    return findings


async def _solana(url: str, network: Network) -> Finding:
    async with SolanaClient(url, timeout_s=_TIMEOUT_SECONDS) as client:
        try:
            await client.check_chain(reference_of(network.name), network.genesis_hash)
            head, final = await client.slot("processed"), await client.slot("finalized")
            said = f"Solana {await client.version()} at slot {head}, final up to {final}"
            newest = await client.block(await client.slot("confirmed"), "confirmed")
        except WrongChainError as error:
            return mend(AREA, network.name, error.message, _belongs(network))
        except ChainUnavailableError as error:
            return mend(AREA, network.name, error.message, _reach(network))
    made = None if newest is None else newest.block_time
    age = 0 if made is None else datetime.now(UTC).timestamp() - made
    if age > _STALE_SECONDS:
        return mend(
            AREA,
            network.name,
            f"{said}; its last block is {age:.0f} s old",
            "the node lags or the cluster stands still: ask another node",
        )
    return ok(AREA, network.name, said)


def _belongs(network: Network) -> str:
    if network.name in LOCAL_NETWORKS:
        return "the chain and the database are of different data directories: start the ones together that belong together"
    return "point the RPC address at the chain that this database was used with"


def _without_address(network: Network) -> Finding:
    remedy = "start it with `guerdon up`" if network.name in LOCAL_NETWORKS else f"set {rpc_variable(network.name)}"
    return mend(AREA, network.name, "its RPC address is not known, so nothing is sent there", remedy)


def _reach(network: Network) -> str:
    if network.name in LOCAL_NETWORKS:
        return "start it with `guerdon up`; chain.log, anvil.log or solana.log in its data directory tells why it ended"
    return "check the address and the node, or name another one"


async def _network(client: EvmClient, network: Network, keys: list[Key], contracts: list[Contract]) -> list[Finding]:
    try:
        await client.check_chain(network.evm_chain_id, network.genesis_hash)
    except WrongChainError as error:
        return [mend(AREA, network.name, error.message, _belongs(network))]
    head = await client.head()
    final = await client.head("finalized")
    age = datetime.now(UTC).timestamp() - head.timestamp
    said = f"{await client.client_version()} at block {head.number}, final up to {final.number}"
    findings = [
        mend(
            AREA,
            network.name,
            f"{said}; its last block is {age:.0f} s old",
            "the node lags or the chain stands still: ask another node",
        )
        if age > _STALE_SECONDS
        else ok(AREA, network.name, said)
    ]
    findings += [await _code(client, contract) for contract in contracts]
    findings += [one for key in keys if key.network == network.name and (one := await _gas(client, key)) is not None]
    return findings


async def _code(client: EvmClient, contract: Contract) -> Finding:
    """Is at the recorded address what we compiled?"""
    kind = contract.name.partition(":")[0]
    try:
        matches = is_code_of(kind, await client.code(contract.address, "latest"))
    except KeyError:
        return mend(AREA, contract.name, f"this release has no {kind} to compare with", "install the release that deployed it")
    if matches:
        return ok(AREA, contract.name, f"{contract.address} on {contract.network}, its code is ours")
    return mend(
        AREA,
        contract.name,
        f"the code at {contract.address} on {contract.network} is not the artifact's",
        f"deploy it anew: guerdon contracts deploy --network {contract.network}; or use the release that deployed it",
    )


async def _gas(client: EvmClient, key: Key) -> Finding | None:
    """Can this key pay its transactions?"""
    if key.purpose == "deployer":
        return None
    wei = await client.balance(key.address, "latest")
    name = f"gas of the {key.purpose} key"
    if wei == 0:
        return mend(
            AREA, name, f"{key.address} on {key.network} has no native coin", "send it some: it pays its own transactions"
        )
    if wei < _LOW_GAS_WEI:
        return note(AREA, name, f"{key.address} on {key.network} has {wei} wei left", "send it some more")
    return ok(AREA, name, f"{wei // 10**9:,} gwei on {key.network}")
