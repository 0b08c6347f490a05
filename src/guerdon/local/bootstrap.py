"""What a new installation on one machine needs besides processes: contracts on the local chain, a treasury, an admin key.

Imported late: it brings the whole application with it.
"""

from __future__ import annotations

from collections.abc import Callable

from guerdon.app import open_runtime
from guerdon.chains.anvil_files import Funder
from guerdon.chains.networks import LOCAL_CHAIN_ID, LOCAL_NETWORK, LOCAL_SOLANA
from guerdon.chains.port import WrongChainError
from guerdon.kit.errors import GuerdonError
from guerdon.local.supervisor import StartError
from guerdon.programs.admin_keys import first_platform_key
from guerdon.settings import Settings
from guerdon.txmanager import repository_keys, repository_treasuries
from guerdon.txmanager.service_keys import set_network
from guerdon.txmanager.setup import bootstrap_local


async def bootstrap(settings: Settings, funder: Funder, tell: Callable[[str], None]) -> tuple[str | None, list[tuple[str, str]]]:
    """The first platform key if it was made now, and what is where on the chain. A worker has to run. Raises `StartError`."""
    try:
        async with open_runtime(settings) as runtime:
            async with runtime.database.platform() as session:
                if runtime.chain.is_configured(LOCAL_SOLANA):
                    await set_network(session, name=LOCAL_SOLANA, chain_id=None, block_time_ms=settings.solana_slot_ms)
                known = await repository_keys.network(session, LOCAL_NETWORK)
            if runtime.chain.is_configured(LOCAL_SOLANA):
                await runtime.chain.solana(LOCAL_SOLANA)
            if known is not None:
                # What is set up is not asked of the chain again, so whether it is the same chain has to be (SAFETY S21).
                await runtime.chain(LOCAL_NETWORK)
            treasury = await bootstrap_local(
                runtime,
                tell,
                funder_private_key=funder.private_key.hex(),
                chain_id=LOCAL_CHAIN_ID,
                block_time_ms=round(settings.block_seconds * 1000),
            )
            async with runtime.database.platform() as session:
                contracts = await repository_treasuries.contracts(session)
                admin_key = await first_platform_key(session, runtime.clock.now())
    except WrongChainError as error:
        remedy = "the database and the chain of a data directory belong together: restore both, or begin with an empty one"
        raise StartError(error.message, remedy) from error
    except GuerdonError as error:
        raise StartError(error.message, "run `guerdon doctor`, which looks closer") from error
    return admin_key, [(contract.name, contract.address) for contract in contracts if contract.network == LOCAL_NETWORK] + [
        ("treasury", treasury.address)
    ]
