"""`guerdon settlement-asset …`: which tokens' payments count, and what they are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group
from guerdon.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from guerdon.activity.settlements.schemas import SettlementAssetView
    from guerdon.app import Runtime

app = group("settlement-asset", "Settlement assets: the tokens whose payments count.")

NetworkArgument = Annotated[str, typer.Argument(help="The network's name, or its CAIP-2 id.")]


@command(app, "preset", example="guerdon settlement-asset preset base")
async def preset(runtime: Runtime, network: NetworkArgument, as_json: JsonOption = False) -> None:
    """Have USDC count on a network that it is known for, at one dollar."""
    from guerdon.activity.settlements.assets import set_preset

    async with runtime.database.platform() as session:
        made = await set_preset(session, network, runtime.clock.now())
    _print(made, as_json=as_json)


@command(
    app, "set", example="guerdon settlement-asset set local 0x5FbDB2315678afecb367f032d93F642f64180aa3 --symbol USDC --decimals 6"
)
async def set_one(
    runtime: Runtime,
    network: NetworkArgument,
    address: Annotated[str, typer.Argument(help="The token's address, or its mint.")],
    *,
    symbol: Annotated[str, typer.Option(help="What people call it.")],
    decimals: Annotated[int, typer.Option(min=0, max=36, help="As the token has them.")],
    micro_usd: Annotated[
        int, typer.Option(min=1, metavar="MICRO_USD", help="What a whole token is worth; 1000000 is one dollar.")
    ] = 1_000_000,
    as_json: JsonOption = False,
) -> None:
    """Have a token's payments count, or change what it is worth. What was credited stays as it was."""
    from guerdon.activity.settlements.assets import set_asset
    from guerdon.activity.settlements.schemas import SettlementAssetInput

    given = SettlementAssetInput(
        network=network, address=address, symbol=symbol, decimals=decimals, micro_usd_per_token=micro_usd
    )
    async with runtime.database.platform() as session:
        made = await set_asset(session, given, runtime.clock.now())
    _print(made, as_json=as_json)


@command(app, "remove", example="guerdon settlement-asset remove local 0x5FbDB2315678afecb367f032d93F642f64180aa3")
async def remove(
    runtime: Runtime, network: NetworkArgument, address: Annotated[str, typer.Argument(help="As `settlement-asset list` has it.")]
) -> None:
    """Let a token's payments count no more; those that did stay."""
    from guerdon.activity.settlements.assets import remove_asset

    async with runtime.database.platform() as session:
        await remove_asset(session, network, address, runtime.clock.now())
    typer.echo("its payments count no more")


@command(app, "list", example="guerdon settlement-asset list")
async def list_assets(runtime: Runtime, as_json: JsonOption = False) -> None:
    """Show the tokens whose payments count."""
    from guerdon.activity.settlements.assets import asset_views

    async with runtime.database.platform() as session:
        views = await asset_views(session)
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["network", "address", "symbol", "decimals", "micro USD a token", "counts"],
        [[v.network, v.address, v.symbol, v.decimals, v.micro_usd_per_token, v.enabled] for v in views],
        empty="No token counts yet. For USDC: guerdon settlement-asset preset NETWORK",
    )


def _print(made: SettlementAssetView, *, as_json: bool) -> None:
    if as_json:
        print_json(made.model_dump(mode="json", by_alias=True))
        return
    typer.echo(f"{made.symbol} counts on {made.network}: {made.address}")
