"""`guerdon settlement …`: proven payments, those that an operator has to look at, and whom a program does not deal with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import CommandError, JsonOption, LimitOption, ProgramOption, parse_id, print_json, print_table

if TYPE_CHECKING:
    from uuid import UUID

    from guerdon.app import Runtime

app = group("settlement", "Settlements: payments that the chain has proven.")

FlagArgument = Annotated[str | None, typer.Argument(metavar="[FLAG]", help="Its id, as `settlement flags` has it.")]
PayerOption = Annotated[str | None, typer.Option(help="All payments of this payer that wait, in place of one flag.")]
NoteOption = Annotated[str, typer.Option(help="Why; for whoever looks.")]
AddressArgument = Annotated[str, typer.Argument(help="An EVM or Solana address.")]
BY = "command line"


@command(app, "list", example="guerdon settlement list --address 0x7c766f5fd9ab3dc09acad5ecfacc99c4781efe29")
async def list_settlements(
    runtime: Runtime,
    *,
    address: Annotated[str | None, typer.Option(help="Payer or payee.")] = None,
    transaction: Annotated[str | None, typer.Option(metavar="HASH", help="Of this transaction.")] = None,
    program: ProgramOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Show proven payments, with whom they were credited to or why nobody was."""
    from guerdon.activity.settlements.names import address_on, namespace_of_address
    from guerdon.activity.settlements.repository_settlements import settlements_after
    from guerdon.activity.settlements.schemas import SettlementView

    found = await program_of(runtime, program)
    namespace = None if address is None else namespace_of_address(address)
    stored = address if namespace is None else address_on(namespace, address)
    async with runtime.database.program(found.id) as session:
        rows = await settlements_after(session, found.id, None, limit, address=stored, transaction_hash=transaction)
        views = [SettlementView.model_validate(row) for row in rows]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["network", "transaction id", "place", "payer", "payee", "micro USD", "settled", "state", "account", "why not"],
        [
            [
                v.network, v.transaction_hash, v.place, v.payer, v.payee, v.volume_micro_usd, v.settled_at, v.state,
                v.account_id, v.why_not,
            ]
            for v in views
        ],
        empty="No payment is proven yet. Sources that report or are read: guerdon source list",
    )  # fmt: skip


@command(app, "flags", example="guerdon settlement flags")
async def list_flags(
    runtime: Runtime,
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that are decided about too.")] = False,
    program: ProgramOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Show payments that look as if they were made for their points, with the evidence."""
    from guerdon.activity.settlements.repository_flags import flags_after
    from guerdon.activity.settlements.schemas import FlagView

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        rows = await flags_after(session, found.id, None, limit, open_only=not every)
        views = [FlagView.model_validate(row) for row in rows]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["flag id", "pattern", "evidence", "flagged", "verdict", "by", "note"],
        [[v.id, v.pattern, v.evidence, v.flagged_at, v.verdict, v.decided_by, v.note] for v in views],
        empty="No payment waits for a look.",
    )


@command(app, "approve", example="guerdon settlement approve 01a1fdef-b400-751e-9289-d658a22ff1c0 --note 'a friend'")
async def approve(
    runtime: Runtime,
    flag: FlagArgument = None,
    *,
    payer: PayerOption = None,
    note: NoteOption = "reviewed",
    program: ProgramOption = None,
) -> None:
    """Let a payment's points go on as if nobody had asked."""
    decided = await _decide(runtime, flag, payer, program, note, approves=True)
    typer.echo(f"approved: {decided}")


@command(app, "reject", example="guerdon settlement reject --payer 0x7c766f5fd9ab3dc09acad5ecfacc99c4781efe29 --note 'a loop'")
async def reject(
    runtime: Runtime,
    flag: FlagArgument = None,
    *,
    payer: PayerOption = None,
    note: NoteOption = "reviewed",
    program: ProgramOption = None,
) -> None:
    """Take back what a payment earned."""
    decided = await _decide(runtime, flag, payer, program, note, approves=False)
    typer.echo(f"rejected: {decided}")


@command(app, "deny", example="guerdon settlement deny 0x7c766f5fd9ab3dc09acad5ecfacc99c4781efe29 --reason 'pays itself'")
async def deny(
    runtime: Runtime,
    address: AddressArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why; for whoever looks.")],
    program: ProgramOption = None,
) -> None:
    """From now on an address earns nothing and is paid nothing; what it earned stays."""
    from guerdon.accounts.denials import deny as deny_address

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        made = await deny_address(session, found.id, address, reason, runtime.clock.now())
    typer.echo(f"denied: {made.address}")


@command(app, "allow", example="guerdon settlement allow 0x7c766f5fd9ab3dc09acad5ecfacc99c4781efe29")
async def allow(runtime: Runtime, address: AddressArgument, program: ProgramOption = None) -> None:
    """Deal with an address again."""
    from guerdon.accounts.denials import allow as allow_address

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        was_denied = await allow_address(session, found.id, address)
    typer.echo("allowed" if was_denied else "it was not denied")


@command(app, "denied", example="guerdon settlement denied")
async def denied(runtime: Runtime, program: ProgramOption = None, limit: LimitOption = 100, as_json: JsonOption = False) -> None:
    """Show the addresses that the program does not deal with."""
    from guerdon.accounts.denials import denials_after
    from guerdon.activity.settlements.schemas import DeniedAddressView

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        views = [DeniedAddressView.model_validate(row) for row in await denials_after(session, found.id, None, limit)]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["address", "reason", "since"],
        [[v.address, v.reason, v.created_at] for v in views],
        empty="No address is denied.",
    )


async def _decide(
    runtime: Runtime, flag: str | None, payer: str | None, program: str | None, note: str, *, approves: bool
) -> int:
    from guerdon.activity.settlements.reviews import Word, decide_flag, decide_payer

    if (flag is None) == (payer is None):
        raise CommandError("a decision is about one flag, or all of a payer", "give a flag, or --payer")
    found = await program_of(runtime, program)
    word = Word(approves, BY, note, runtime.clock.now())
    decided: list[UUID] = []
    while True:
        async with runtime.database.program(found.id) as session:
            if flag is not None:
                return len(await decide_flag(session, found.id, parse_id(flag), word))
            some = await decide_payer(session, found.id, payer or "", word)
        decided += some
        if not some:
            return len(decided)
