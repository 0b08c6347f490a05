"""`guerdon network …`: the chains that an installation talks to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group
from guerdon.cli.output import CommandError, JsonOption, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime

app = group("network", "Networks: the chains that tokens are on.")


@command(app, "add", example="guerdon network add soneium-minato")
async def add(
    runtime: Runtime,
    name: Annotated[
        str, typer.Argument(help="A known name (soneium, base, solana, …), or a new one with --chain-id or --solana.")
    ],
    *,
    chain_id: Annotated[int | None, typer.Option(min=1, help="For an EVM network that is not known by name.")] = None,
    solana: Annotated[bool, typer.Option("--solana", help="For a Solana cluster that is not known by name.")] = False,
    block_time_ms: Annotated[int | None, typer.Option(min=1, help="Time between two blocks.")] = None,
    explorer_url: Annotated[str | None, typer.Option(help="Where people look transactions up.")] = None,
    max_fee_per_gas: Annotated[
        int | None, typer.Option(min=1, metavar="WEI", help="A transaction that would cost more a unit of gas waits.")
    ] = None,
    no_fee_cap: Annotated[bool, typer.Option("--no-fee-cap", help="Send at any price that the network asks.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Set a network up, or change what is given. Its RPC address is set by GUERDON_RPC_<NETWORK>.

    A network that is known by name begins with a fee cap far above what is usual there.
    """
    from guerdon.chains.networks import KNOWN_NETWORKS
    from guerdon.settings import rpc_variable
    from guerdon.txmanager.schemas import NetworkView
    from guerdon.txmanager.service_keys import network, set_network

    known = KNOWN_NETWORKS.get(name)
    if solana and chain_id is not None:
        raise CommandError("a Solana cluster has no chain id", "give --chain-id or --solana")
    if known is None and chain_id is None and not solana:
        message = f"{name} is not known by name"
        raise CommandError(message, f"give its --chain-id, or --solana, or one of {', '.join(KNOWN_NETWORKS)}")
    wanted = None if solana else chain_id or (None if known is None else known.chain_id)
    async with runtime.database.platform() as session:
        await set_network(
            session,
            name=name,
            chain_id=wanted,
            block_time_ms=block_time_ms,
            explorer_url=explorer_url,
            max_fee_per_gas=max_fee_per_gas,
            no_fee_cap=no_fee_cap,
        )
        view = NetworkView.model_validate(await network(session, name))
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    typer.echo(f"{name} is {'a Solana' if view.chain_id is None else f'chain {view.chain_id}'}")
    if not runtime.chain.is_configured(name):
        typer.echo(f"Next: set {rpc_variable(name)} to its RPC address")


@command(app, "list", example="guerdon network list")
async def list_networks(runtime: Runtime, as_json: JsonOption = False) -> None:
    """Show the networks that are set up."""
    from guerdon.txmanager.repository_keys import networks
    from guerdon.txmanager.schemas import NetworkView

    async with runtime.database.platform() as session:
        views = [NetworkView.model_validate(row) for row in await networks(session)]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["name", "kind", "chain id", "block time", "RPC address set", "fee cap (wei)", "explorer"],
        [
            [
                v.name,
                v.namespace,
                v.chain_id,
                f"{v.block_time_ms} ms",
                runtime.chain.is_configured(v.name),
                v.max_fee_per_gas,
                v.explorer_url,
            ]
            for v in views
        ],
        empty="There is no network yet. Add one: guerdon network add NAME",
    )
