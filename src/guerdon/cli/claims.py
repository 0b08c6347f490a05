"""`guerdon claim …`: what members asked for, and reviews."""

from __future__ import annotations

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

app = group("claim", "Claims: points that members turn into tokens.")

ClaimArgument = Annotated[str, typer.Argument(metavar="CLAIM", help="Its id, as `claim list` has it.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is kept with the claim.")]


@command(app, "list", example="guerdon claim list --state in_review")
async def list_claims(
    runtime: Runtime,
    program: ProgramOption = None,
    *,
    state: Annotated[str | None, typer.Option(help="in_review, approved, reserved, final, refused, …")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Show a program's claims, newest first."""
    from guerdon.payouts.claims import repository
    from guerdon.payouts.claims.schemas import admin_claim_view

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        views = [admin_claim_view(*row) for row in await repository.claims_after(session, found.id, state, None, limit)]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["id", "points", "amount", "network", "destination", "state", "reason", "asked"],
        [[v.id, v.points, v.amount_atomic, v.network, v.destination, v.state, v.reason, v.created_at] for v in views],
        empty="There is no such claim.",
    )


@command(app, "show", example="guerdon claim show 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def show(runtime: Runtime, claim: ClaimArgument, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """Show one claim: what it fixed, and who reviewed it."""
    from guerdon.payouts.claims import repository
    from guerdon.payouts.claims.schemas import admin_claim_view

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        row = await repository.claim(session, found.id, parse_id(claim))
    if row is None:
        message = f"there is no claim {claim}"
        raise CommandError(message, "guerdon claim list")
    view = admin_claim_view(*row)
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    print_fields({name.replace("_", " "): getattr(view, name) for name in type(view).model_fields})


@command(app, "approve", example='guerdon claim approve 01a1fdef-b400-751e-9289-d658a22ff1c0 --reason "known customer"')
async def approve(runtime: Runtime, claim: ClaimArgument, program: ProgramOption = None, *, reason: ReasonOption) -> None:
    """Let a claim that waits for a review go on."""
    await _review(runtime, claim, program, reason, approved=True)


@command(app, "refuse", example='guerdon claim refuse 01a1fdef-b400-751e-9289-d658a22ff1c0 --reason "farmed"')
async def refuse(runtime: Runtime, claim: ClaimArgument, program: ProgramOption = None, *, reason: ReasonOption) -> None:
    """Refuse a claim that waits for a review; its points are the account's again."""
    await _review(runtime, claim, program, reason, approved=False)


async def _review(runtime: Runtime, claim: str, program: str | None, reason: str, *, approved: bool) -> None:
    from guerdon.payouts.claims.review import Verdict, review

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        _, delivery = await review(session, found.id, parse_id(claim), Verdict(approved, reason, "command line"))
        state = delivery.state
    typer.echo(f"{claim}  {state}")
