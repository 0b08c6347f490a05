"""`guerdon asset …`: what is earned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group
from guerdon.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime

app = group("asset", "Assets: what is earned.")


@command(app, "create", example="guerdon asset create USDX --network base --token 0x036CbD53842c5426634e7929541eC2318f3dCF7e")
async def create(
    runtime: Runtime,
    symbol: Annotated[str, typer.Argument(help="Its own here; `guerdon contracts deploy --asset` makes a token of ours.")],
    *,
    network: Annotated[str | None, typer.Option(help="Where its token is; left out for points that are claimed.")] = None,
    token: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="The token, which exists already: paid from stock.")
    ] = None,
    delivery: Annotated[str, typer.Option(help="automatic: sent as earned; on_claim: piles up until claimed.")] = "automatic",
    atomic_per_point: Annotated[int, typer.Option(min=1, help="How many of the token's smallest unit one point is.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Make an asset of a token that exists. Its decimals are read from the chain."""
    from guerdon.ledger.models import Delivered
    from guerdon.txmanager import assets, setup
    from guerdon.txmanager.schemas import AssetView

    new = assets.NewAsset(symbol, network, token, Delivered(delivery), atomic_per_point)
    view = AssetView.model_validate(await assets.create_asset(setup.deployment_deps(runtime), new))
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    if token is None:
        typer.echo(f"{view.symbol}: points that are claimed")
        typer.echo(f"Next: guerdon payout-option set {view.symbol}")
        return
    typer.echo(f"{view.symbol}: {token} on {network}" + (f", {view.decimals} decimals" if view.network else ", claimed"))
    typer.echo(f"Next: guerdon treasury create {view.symbol}")


@command(app, "list", example="guerdon asset list")
async def list_assets(runtime: Runtime, as_json: JsonOption = False) -> None:
    """Show what can be earned."""
    from guerdon.txmanager.repository_treasuries import assets
    from guerdon.txmanager.schemas import AssetView

    async with runtime.database.platform() as session:
        views = [AssetView.model_validate(row) for row in await assets(session)]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["symbol", "network", "token", "decimals", "delivery", "units a point", "we mint it"],
        [[v.symbol, v.network, v.token_address, v.decimals, v.delivery, v.atomic_per_point, v.mintable] for v in views],
        empty="There is no asset yet: guerdon contracts deploy --asset SYMBOL, or guerdon asset create for an existing token",
    )
