"""`guerdon contracts …`: our contracts on a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group
from guerdon.cli.output import CommandError, JsonOption, print_json, print_table, private_key_of

if TYPE_CHECKING:
    from guerdon.app import Runtime

app = group("contracts", "Contracts: ours, on a network.")


@command(app, "deploy", example="guerdon contracts deploy --network soneium-minato --asset LTZ")
async def deploy(
    runtime: Runtime,
    *,
    network: Annotated[str, typer.Option(help="A network that is set up (guerdon network add).")],
    asset: Annotated[
        str | None, typer.Option(metavar="SYMBOL", help="Also a token of ours for this asset, and its minter.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The token's name in wallets; the symbol if left out.")] = None,
    decimals: Annotated[int, typer.Option(min=0, max=36, help="Of the token; never changes.")] = 0,
    atomic_per_point: Annotated[int, typer.Option(min=1, help="How many of the token's smallest unit one point is.")] = 1,
    daily_cap: Annotated[
        int, typer.Option(min=1, help="What may be minted in a UTC day, in the token's smallest unit.")
    ] = 1_000_000,
    deployer_key_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="With a private key to deploy with; - for stdin, or GUERDON_DEPLOYER_KEY. Else one is made."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Deploy distributor and MerkleDrop and, with --asset, a token and its minter; give rights, set the cap, check the code.

    May be stopped and run again at any time: it goes on where it was.
    """
    from guerdon.cli.engine import engine_running, tell
    from guerdon.settings import rpc_variable
    from guerdon.txmanager import setup
    from guerdon.txmanager.deployment import Deployment
    from guerdon.txmanager.models import KeyPurpose

    if not runtime.chain.is_configured(network):
        message = f"the RPC address of {network} is not set"
        raise CommandError(message, f"set {rpc_variable(network)}")
    deps = setup.deployment_deps(runtime)
    await runtime.chain(network)
    deployment = Deployment(deps, network, tell)
    deployer = await deployment.key(KeyPurpose.DEPLOYER, private_key_of(deployer_key_file, "GUERDON_DEPLOYER_KEY"))
    tell(f"deployer is {deployer.address}: it needs native coin on {network}; this waits until it has some")
    if asset is not None:
        minter = await deployment.key(KeyPurpose.MINTER)
        tell(f"minter is {minter.address}: it needs native coin too before programs are funded")
    token = None if asset is None else setup.NewToken(asset, name or asset, decimals, atomic_per_point, daily_cap)
    async with engine_running(runtime, network):
        addresses = await setup.deploy_contracts(deps, network, token, tell)
    if as_json:
        print_json({"network": network, "contracts": addresses})
        return
    print_table(["contract", "address"], [[key, value] for key, value in addresses.items()], empty="")
    if asset is not None:
        typer.echo(f"Next: guerdon treasury create {asset}")


@command(app, "list", example="guerdon contracts list")
async def list_contracts(runtime: Runtime, as_json: JsonOption = False) -> None:
    """Show the contracts that we deployed."""
    from guerdon.txmanager.repository_treasuries import contracts

    async with runtime.database.platform() as session:
        rows = [[one.network, one.name, one.address, one.created_at] for one in await contracts(session)]
    if as_json:
        print_json([dict(zip(("network", "name", "address", "createdAt"), row, strict=True)) for row in rows])
        return
    print_table(["network", "contract", "address", "recorded"], rows, empty="Nothing is deployed yet: guerdon contracts deploy")
