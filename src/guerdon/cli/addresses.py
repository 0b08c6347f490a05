"""`guerdon address …`: addresses of members, and approving those that can't sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import JsonOption, LimitOption, ProgramOption, parse_id, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime

app = group("address", "Addresses of members.")


@command(app, "list", example="guerdon address list --unproven")
async def list_addresses(
    runtime: Runtime,
    program: ProgramOption = None,
    *,
    unproven: Annotated[bool, typer.Option("--unproven", help="Only those that wait for a proof.")] = False,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show the addresses of a program's accounts in the order in which they were registered."""
    from guerdon.accounts import repository_addresses, views

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        rows = await repository_addresses.addresses_of_program(session, found.id, None, limit, unproven=unproven)
    shown = [views.operator_view(row) for row in rows]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in shown])
        return
    print_table(
        ["id", "account", "network", "address", "proof", "usable from"],
        [[v.id, v.account_id, v.network, v.address, v.method or "none yet", v.usable_from] for v in shown],
        empty="There is no such address.",
    )


@command(
    app,
    "approve",
    example='guerdon address approve 01a1fdef-b400-751e-9289-d658a22ff1c0 --reason "Their multisig, by phone, ticket 812"',
)
async def approve(
    runtime: Runtime,
    address_id: Annotated[str, typer.Argument(help="As `address list` has it.")],
    *,
    reason: Annotated[str, typer.Option(help="How you know that it is theirs; kept with the address.")],
    all_chains: Annotated[
        bool, typer.Option("--all-chains", help="It is no contract, so it is the same person's on every EVM chain.")
    ] = False,
    move: Annotated[bool, typer.Option("--move", help="Take it from the account that has it now.")] = False,
    program: ProgramOption = None,
) -> None:
    """Say that an address which can't sign belongs to the account that registered it."""
    from guerdon.accounts import registry, views
    from guerdon.accounts.schemas import Approval

    approval = Approval(reason=reason, all_chains=all_chains, move=move)
    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        row = await registry.approve(
            session,
            found,
            parse_id(address_id),
            "command line",
            approval.reason,
            all_chains=approval.all_chains,
            move=approval.move,
        )
        view = views.operator_view(row)
    typer.echo(f"{view.address} is proven for account {view.account_id}; tokens may go there from {view.usable_from}")
