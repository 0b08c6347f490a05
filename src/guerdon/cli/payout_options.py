"""`guerdon payout-option …`: in which tokens points are claimed, and at which rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group
from guerdon.cli.output import CommandError, JsonOption, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime

app = group("payout-option", "Payout options: the tokens that points are claimed in.")


@command(app, "set", example="guerdon payout-option set POINTS --network base --token 0x036C…dCF7e --rate 1000000/100")
async def set_option(
    runtime: Runtime,
    symbol: Annotated[
        str, typer.Argument(metavar="ASSET", help="An asset that is claimed (guerdon asset create --delivery on_claim).")
    ],
    *,
    network: Annotated[str, typer.Option(help="A network that is set up.")],
    token: Annotated[str, typer.Option(metavar="ADDRESS", help="The token; a network has one an asset.")],
    rate: Annotated[str, typer.Option(metavar="ATOMIC/POINTS", help="So much of the token's smallest unit for so many points.")],
    decimals: Annotated[int | None, typer.Option(min=0, max=36, help="Of the token; needed on Solana, else read.")] = None,
    mintable: Annotated[bool, typer.Option(help="Fund programs by minting; else its treasury is stocked.")] = False,
    min_points: Annotated[int, typer.Option(min=1, help="What a claim is at least.")] = 1,
    max_points: Annotated[int | None, typer.Option(min=1, help="What a claim is at most.")] = None,
    period_points: Annotated[int | None, typer.Option(min=1, help="What an account may claim …")] = None,
    period_seconds: Annotated[int | None, typer.Option(min=1, help="… in so many seconds.")] = None,
    cooldown_seconds: Annotated[int, typer.Option(min=0, help="Between two claims of an account.")] = 0,
    default: Annotated[bool, typer.Option("--default", help="For destinations of its kind of chain; the first one is.")] = False,
    enabled: Annotated[bool, typer.Option("--enabled/--disabled", help="Disabled, nothing more is claimed in it.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Offer a token for an asset's points on a network, or change how. Claims that were made keep what they fixed."""
    from guerdon.programs.service import asset_of
    from guerdon.txmanager import options, service_keys
    from guerdon.txmanager.schemas_options import PayoutOptionInput, option_view

    numerator, slash, denominator = rate.partition("/")
    if not numerator.isdigit() or (slash and not denominator.isdigit()):
        message = f"{rate!r} is no rate"
        raise CommandError(message, "give two whole numbers, as in 1000000/100: 1000000 of the smallest unit for 100 points")
    wanted = PayoutOptionInput(
        token_address=token, token_decimals=decimals, atomic_numerator=int(numerator), points_denominator=int(denominator or 1),
        mintable=mintable, min_points=min_points, max_points=max_points, period_points=period_points,
        period_seconds=period_seconds, cooldown_seconds=cooldown_seconds, is_default=default, enabled=enabled,
    )  # fmt: skip
    async with runtime.database.platform() as session:
        asset, known = await asset_of(session, symbol), await service_keys.network(session, network)
    found = await options.decimals_on_chain(runtime.chain, known, token, decimals)
    async with runtime.database.platform() as session:
        option = await options.set_option(session, asset, wanted.option(network), found, runtime.clock.now())
        view = option_view(option, asset)
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    typer.echo(
        f"1000 points of {view.asset} are {view.tokens_for_a_thousand_points} tokens {view.token_address} on {view.network}"
    )
    typer.echo(f"Next: guerdon treasury create {view.asset} --network {view.network}")


@command(app, "list", example="guerdon payout-option list")
async def list_options(runtime: Runtime, as_json: JsonOption = False) -> None:
    """Show in which tokens points are claimed."""
    from guerdon.txmanager.repository_options import options
    from guerdon.txmanager.schemas_options import option_view

    async with runtime.database.platform() as session:
        views = [option_view(*row) for row in await options(session)]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["asset", "network", "token", "rate", "1000 points", "claim", "in a period", "default", "enabled"],
        [
            [
                v.asset, v.network, v.token_address, f"{v.atomic_numerator}/{v.points_denominator}",
                v.tokens_for_a_thousand_points,
                f"{v.min_points} to {v.max_points or '…'}",
                None if v.period_points is None else f"{v.period_points} in {v.period_seconds} s", v.is_default, v.enabled,
            ]
            for v in views
        ],
        empty="No points are claimed in any token yet: guerdon payout-option set ASSET",
    )  # fmt: skip
