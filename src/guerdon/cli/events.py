"""`guerdon event …`: what came, and why it earned what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import JsonOption, LimitOption, ProgramOption, parse_id, print_fields, print_json, print_table

if TYPE_CHECKING:
    from uuid import UUID

    from guerdon.activity.history import EventView
    from guerdon.app import Runtime

app = group("event", "Events: what was reported.")


@command(app, "list", example="guerdon event list --user anna@example.org")
async def list_events(
    runtime: Runtime,
    program: ProgramOption = None,
    *,
    event_type: Annotated[str | None, typer.Option(help="Only this type.")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this email or platform:id.")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Show accepted reports, newest first, with what each earned and where its tokens are."""
    from guerdon.activity.history import events_page

    found = await program_of(runtime, program)
    views: list[EventView] = []
    before: UUID | None = None
    while len(views) < limit:
        # A transaction a page: the search for a rare type may be long.
        async with runtime.database.program(found.id) as session:
            page, before = await events_page(session, before, limit - len(views), event_type=event_type, user=user)
        views += page
        if before is None:
            break
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["received", "event type", "user", "by", "points", "reversed", "payout", "id"],
        [
            [
                v.received_at,
                v.event_type,
                v.user,
                v.trust,
                v.points,
                v.reversed,
                None if v.payout is None else v.payout.state,
                v.id,
            ]
            for v in views
        ],
        empty="No event was accepted yet. Report one: POST /loyalteez-api/manual-event (docs/api.md)",
    )


@command(app, "show", example="guerdon event show 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def show(
    runtime: Runtime,
    event_id: Annotated[str, typer.Argument(help="As `event list` has it.")],
    program: ProgramOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one report with the reasons for what it earned."""
    from guerdon.activity.history import event_of

    wanted = parse_id(event_id)
    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        view = await event_of(session, wanted)
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    print_fields({name.replace("_", " "): value for name, value in view.model_dump(mode="json").items()})
