"""`guerdon treasury …`: the hot wallets that payouts are paid from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group
from guerdon.cli.output import CommandError, JsonOption, print_json, print_table, private_key_of

if TYPE_CHECKING:
    from guerdon.app import Runtime
    from guerdon.txmanager.schemas import TreasuryView

app = group("treasury", "Treasuries: the hot wallets that payouts are paid from.")

TreasuryArgument = Annotated[
    str, typer.Argument(metavar="TREASURY", help="SYMBOL, SYMBOL@NETWORK, or the treasury's id or address.")
]


async def _views(runtime: Runtime) -> list[TreasuryView]:
    from guerdon.txmanager import repository_treasuries
    from guerdon.txmanager.schemas import treasury_view

    async with runtime.database.platform() as session:
        return [treasury_view(*row) for row in await repository_treasuries.treasuries(session)]


@command(app, "list", example="guerdon treasury list")
async def list_treasuries(runtime: Runtime, as_json: JsonOption = False) -> None:
    """Show what each treasury holds, what is reserved of it, and why it stands still."""
    views = await _views(runtime)
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["asset", "network", "address", "balance", "reserved", "free", "low below", "limit", "native (wei)", "paused"],
        [
            [
                v.asset, v.network, v.address, v.balance, v.reserved, v.free, v.low_balance,
                None if v.period_limit is None else f"{v.period_limit} in {v.period_seconds} s",
                v.native_balance_wei, v.pause_reason or v.key_pause_reason,
            ]
            for v in views
        ],
        empty="There is no treasury yet. Make one: guerdon treasury create SYMBOL",
    )  # fmt: skip


@command(app, "create", example="guerdon treasury create LTZ --low-balance 1000")
async def create(
    runtime: Runtime,
    symbol: Annotated[str, typer.Argument(help="The asset to be paid.")],
    *,
    network: Annotated[str | None, typer.Option(help="Where; needed where the asset is paid on several.")] = None,
    private_key_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="With an existing private key; - for stdin, or GUERDON_TREASURY_KEY. Else one is made."
        ),
    ] = None,
    low_balance: Annotated[int, typer.Option(min=0, help="An alert is raised below this, in the token's smallest unit.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make the hot wallet of an asset. It approves the distributor once its key has native coin."""
    from guerdon.programs.service import asset_of
    from guerdon.txmanager import setup, treasuries

    async with runtime.database.platform() as session:
        asset = await asset_of(session, symbol)
        place = await treasuries.token_of(session, asset, network)
    key_id = None
    private_key = private_key_of(private_key_file, "GUERDON_TREASURY_KEY")
    if private_key is not None:
        key_id = await setup.import_treasury_key(setup.deployment_deps(runtime), place.network, private_key)
    async with runtime.database.platform() as session:
        made = await treasuries.create_treasury(
            session, runtime.secrets, asset, network=network, key_id=key_id, low_balance=low_balance, now=runtime.clock.now()
        )
    if as_json:
        print_json(next(v.model_dump(mode="json", by_alias=True) for v in await _views(runtime) if v.id == made.id))
        return
    typer.echo(f"treasury of {symbol}: {made.address} on {made.network}")
    typer.echo(f"Next: send native coin for gas to {made.address}, then: guerdon program fund")


@command(app, "fund", example="guerdon treasury fund LTZ --wei 1000000000000000000")
async def fund(
    runtime: Runtime,
    treasury: TreasuryArgument,
    *,
    wei: Annotated[int, typer.Option(min=1, help="Native coin for gas, sent by the network's deployer key.")],
    as_json: JsonOption = False,
) -> None:
    """Send native coin to a treasury, so that it can pay for its transactions. Tokens come by `guerdon program fund`."""
    from guerdon.cli.engine import engine_running, tell
    from guerdon.settings import rpc_variable
    from guerdon.txmanager import setup, treasuries

    async with runtime.database.platform() as session:
        found, _ = await treasuries.find(session, treasury)
    if not runtime.chain.is_configured(found.network):
        message = f"the RPC address of {found.network} is not set"
        raise CommandError(message, f"set {rpc_variable(found.network)}")
    async with engine_running(runtime, found.network):
        intent = await setup.send_gas(setup.deployment_deps(runtime), found, wei, tell)
    if as_json:
        print_json({"address": found.address, "wei": str(wei), "transactionHash": intent.transaction_hash})
        return
    typer.echo(f"{wei} wei are at {found.address}: {intent.transaction_hash}")


@command(app, "pause", example='guerdon treasury pause LTZ --reason "audit"')
async def pause(
    runtime: Runtime, treasury: TreasuryArgument, *, reason: Annotated[str, typer.Option(help="Why; for whoever looks.")]
) -> None:
    """Reserve and freeze nothing more from it. What is signed already goes on, since it may land at any time."""
    from guerdon.txmanager import treasuries

    async with runtime.database.platform() as session:
        found, _ = await treasuries.find(session, treasury)
        await treasuries.pause(session, found.id, reason, runtime.clock.now())
    typer.echo(f"paused: {reason}")


@command(app, "resume", example="guerdon treasury resume LTZ")
async def resume(runtime: Runtime, treasury: TreasuryArgument) -> None:
    """Go on after a pause."""
    from guerdon.txmanager import treasuries

    async with runtime.database.platform() as session:
        found, _ = await treasuries.find(session, treasury)
        await treasuries.resume(session, found.id)
    typer.echo("resumed")


@command(app, "limit", example="guerdon treasury limit LTZ --amount 100000 --seconds 86400")
async def limit(
    runtime: Runtime,
    treasury: TreasuryArgument,
    *,
    amount: Annotated[int | None, typer.Option(min=0, help="At most so many of the token's smallest unit …")] = None,
    seconds: Annotated[int | None, typer.Option(min=1, help="… in so many seconds. Both left out: no limit.")] = None,
    low_balance: Annotated[int | None, typer.Option(min=0, help="An alert is raised below this.")] = None,
) -> None:
    """Limit what is paid in a period, and say which balance is low."""
    from guerdon.txmanager import treasuries

    if (amount is None) != (seconds is None):
        message = "a limit is an amount in a time"
        raise CommandError(message, "give both --amount and --seconds, or neither")
    async with runtime.database.platform() as session:
        found, _ = await treasuries.find(session, treasury)
        await treasuries.limit(session, found.id, amount_atomic=amount, period_seconds=seconds, low_balance=low_balance)
    typer.echo("no limit" if amount is None else f"at most {amount} in {seconds} s")
