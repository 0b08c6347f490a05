"""`guerdon payout …`: what became of payouts, and settling those that are stuck."""

from __future__ import annotations

from functools import partial
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
    from uuid import UUID

    from guerdon.app import Runtime
    from guerdon.payouts.remedies import Remedy

app = group("payout", "Payouts: tokens on their way to wallets.")

PayoutArgument = Annotated[str | None, typer.Argument(metavar="[PAYOUT]", help="Its id, as `payout list` has it.")]
BatchOption = Annotated[str | None, typer.Option("--batch", metavar="BATCH", help="Every payout of a batch that can never land.")]


@command(app, "list", example="guerdon payout list --state quarantined")
async def list_payouts(
    runtime: Runtime,
    program: ProgramOption = None,
    *,
    state: Annotated[str | None, typer.Option(help="approved, reserved, signed, sent, confirmed, final, quarantined, …")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Show a program's payouts, newest first."""
    from guerdon.payouts import repository_read
    from guerdon.payouts.schemas import payout_view

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        rows = await repository_read.payouts(session, found.id, state=state, account_id=None, after=None, limit=limit)
    views = [payout_view(row) for row in rows]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["id", "points", "destination", "state", "transaction", "updated", "reason"],
        [[v.id, v.points, v.destination, v.state, v.transaction_hash, v.updated_at, v.reason] for v in views],
        empty="There is no such payout.",
    )


@command(app, "show", example="guerdon payout show 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def show(
    runtime: Runtime, payout: PayoutArgument = None, program: ProgramOption = None, as_json: JsonOption = False
) -> None:
    """Show one payout, and every batch that it was in."""
    from guerdon.payouts import repository_read
    from guerdon.payouts.schemas import payout_story

    program_id, payout_id = await _payout(runtime, payout, program)
    async with runtime.database.program(program_id) as session:
        delivery = await repository_read.payout(session, program_id, payout_id)
        batches = await repository_read.batches_of_payout(session, program_id, payout_id)
    if delivery is None:
        message = f"there is no payout {payout_id}"
        raise CommandError(message, "guerdon payout list")
    story = payout_story(delivery, list(batches))
    if as_json:
        print_json(story.model_dump(mode="json", by_alias=True))
        return
    print_fields({name.replace("_", " "): getattr(story, name) for name in type(story).model_fields if name != "batches"})
    typer.echo("")
    print_table(
        ["batch", "state", "size", "on chain", "opened"],
        [[b.id, b.state, b.size, b.chain_batch_id, b.opened_at] for b in story.batches],
        empty="It was in no batch yet.",
    )


@command(app, "retry", example="guerdon payout retry 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def retry(
    runtime: Runtime,
    payout: PayoutArgument = None,
    batch: BatchOption = None,
    program: ProgramOption = None,
    *,
    destination: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a claim: another proven address of its account.")
    ] = None,
) -> None:
    """Pay a quarantined payout again, under the chain's guard: a batch that supersedes all that it was in before."""
    from guerdon.payouts import remedies

    await _settle(runtime, partial(remedies.retry, destination=destination), payout, batch, program)


@command(app, "return", example="guerdon payout return 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def give_back(
    runtime: Runtime, payout: PayoutArgument = None, batch: BatchOption = None, program: ProgramOption = None
) -> None:
    """Give a quarantined payout's points back to its account, once the chain proves that nothing can pay it any more."""
    from guerdon.payouts import remedies

    await _settle(runtime, remedies.give_back, payout, batch, program)


@command(app, "kill", example="guerdon payout kill 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def kill(runtime: Runtime, batch: Annotated[str, typer.Argument(metavar="BATCH", help="As `payout show` has it.")]) -> None:
    """Have a batch's transaction that does not land replaced by one that does nothing; either of the two may still land."""
    from guerdon.payouts import remedies

    await remedies.kill(runtime.payout_deps(), parse_id(batch))
    typer.echo("asked for; once it is final: guerdon payout retry --batch, or guerdon payout return --batch")


async def _settle(runtime: Runtime, remedy: Remedy, payout: str | None, batch: str | None, program: str | None) -> None:
    from guerdon.payouts import remedies

    deps = runtime.payout_deps()
    if batch is not None:
        for program_id, payout_id in await remedies.release_dead_batch(deps, parse_id(batch)):
            typer.echo(f"{payout_id}  {await remedy(deps, program_id, payout_id)}")
        return
    program_id, payout_id = await _payout(runtime, payout, program)
    typer.echo(str(await remedy(deps, program_id, payout_id)))


async def _payout(runtime: Runtime, payout: str | None, program: str | None) -> tuple[UUID, UUID]:
    """Whose payout is meant, and its id: a payout that was in a batch is found without naming its program."""
    from guerdon.payouts import repository_read

    if payout is None:
        message = "which payout?"
        raise CommandError(message, "give its id, as `guerdon payout list` has it, or --batch")
    payout_id = parse_id(payout)
    async with runtime.database.platform() as session:
        program_id = await repository_read.program_of_payout(session, payout_id)
    if program is not None or program_id is None:
        program_id = (await program_of(runtime, program)).id
    return program_id, payout_id
