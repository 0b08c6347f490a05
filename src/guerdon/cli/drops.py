"""`guerdon drop …`: rewards for a whole season, claimed on chain by proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import (
    CommandError,
    JsonOption,
    LimitOption,
    ProgramOption,
    parse_id,
    print_fields,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from guerdon.app import Runtime

app = group("drop", "Drops: rewards for a whole season, claimed on chain by proof.")

DropArgument = Annotated[str, typer.Argument(metavar="DROP", help="Its id, as `drop list` has it.")]


@command(app, "create", example="guerdon drop create --days 90 --minimum 100")
async def create(
    runtime: Runtime,
    program: ProgramOption = None,
    *,
    days: Annotated[int, typer.Option(min=1, max=731, help="How long it can be claimed, from now or --opens on.")],
    opens: Annotated[datetime | None, typer.Option(help="When claims begin, in UTC; now if left out.")] = None,
    minimum: Annotated[int, typer.Option(min=1, help="Accounts with fewer points available are left out.")] = 1,
    account: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this account; may be given several times.")
    ] = None,
    asset: Annotated[str | None, typer.Option(metavar="SYMBOL", help="The program's own if left out.")] = None,
    network: Annotated[str | None, typer.Option(help="Where, if the asset is paid on several networks.")] = None,
    season: Annotated[str | None, typer.Option(metavar="SEASON", help="Publish a later root of this season.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold accounts' available points, publish the root of a drop over them, and fund it from the treasury."""
    from guerdon.ledger.repository import asset_by_symbol
    from guerdon.payouts import drops
    from guerdon.payouts import repository_drops as repository
    from guerdon.payouts.schemas_drops import drop_view

    found = await program_of(runtime, program)
    begins = datetime.now(UTC) if opens is None else opens.replace(tzinfo=UTC)
    async with runtime.database.platform() as session:
        named = None if asset is None else await asset_by_symbol(session, asset)
        if asset is not None and named is None:
            message = f"there is no asset {asset}"
            raise CommandError(message, "guerdon asset list")
        asked = drops.NewDrop(
            program_id=found.id,
            asset_id=found.asset_id if named is None else named.id,
            opens_at=begins,
            closes_at=begins + timedelta(days=days),
            minimum_points=minimum,
            accounts=None if not account else [(parse_id(one), None) for one in account],
            season_id=None if season is None else parse_id(season),
            network=network,
        )
        made = await drops.create(session, asked)
        of = await repository.lock_season(session, found.id, made.season_id)
        view = drop_view(made, of)
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    typer.echo(f"drop {view.id} of season {view.season_id} is on its way: guerdon drop show {view.id}")


@command(app, "list", example="guerdon drop list")
async def list_drops(
    runtime: Runtime, program: ProgramOption = None, limit: LimitOption = 50, as_json: JsonOption = False
) -> None:
    """Show a program's drops, newest first."""
    from guerdon.payouts import repository_drops as repository
    from guerdon.payouts.schemas_drops import drop_view

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        rows = await repository.drops_after(session, found.id, None, limit)
    views = [drop_view(*row) for row in rows]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["id", "season", "root", "state", "season is", "accounts", "points", "closes", "reason"],
        [[v.id, v.season_id, v.number, v.state, v.season_state, v.leaves, v.points, v.closes_at, v.reason] for v in views],
        empty="There is no drop yet: guerdon drop create",
    )


@command(app, "show", example="guerdon drop show 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def show(runtime: Runtime, drop: DropArgument, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """Show one drop."""
    from guerdon.payouts import repository_drops as repository
    from guerdon.payouts.errors_drops import DropNotFoundError
    from guerdon.payouts.schemas_drops import drop_view

    found = await program_of(runtime, program)
    async with runtime.database.platform() as session:
        known = await repository.drop(session, found.id, parse_id(drop))
        if known is None:
            raise DropNotFoundError
        season = await repository.season(session, found.id, known.season_id)
        if season is None:
            raise DropNotFoundError
        view = drop_view(known, season)
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    print_fields({name.replace("_", " "): getattr(view, name) for name in type(view).model_fields})


@command(app, "cancel", example="guerdon drop cancel 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def cancel(
    runtime: Runtime,
    drop: DropArgument,
    program: ProgramOption = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "by an operator",
) -> None:
    """Give up a drop that is not on chain and can't land there; its points go back to their accounts."""
    from guerdon.payouts import drops

    found = await program_of(runtime, program)
    given_up = await drops.cancel(runtime.payout_deps(), found.id, parse_id(drop), reason)
    typer.echo(str(given_up.state))


@command(
    app, "proof", example="guerdon drop proof 01a1fdef-b400-751e-9289-d658a22ff1c0 0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
)
async def proof(
    runtime: Runtime,
    season: Annotated[str, typer.Argument(metavar="SEASON", help="As `drop list` has it.")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The address that is paid.")],
    program: ProgramOption = None,
) -> None:
    """Show what an address may claim of a season, with the transaction that claims it (as JSON)."""
    from guerdon.payouts import drops
    from guerdon.payouts.schemas_drops import proof_view

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        known = await drops.proof(session, found.id, parse_id(season), address)
    print_json(proof_view(known, runtime.clock.now()).model_dump(mode="json"))
