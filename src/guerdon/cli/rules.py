"""`guerdon rule …`: what event types earn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import CommandError, JsonOption, ProgramOption, print_fields, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime
    from guerdon.earning.schemas import RuleView

app = group("rule", "Rules: what an event type earns.")

EventTypeArgument = Annotated[str, typer.Argument(metavar="EVENT_TYPE", help="Letters, digits, underscores; at most 50.")]
NONE = "none"
CapOption = Annotated[str | None, typer.Option(metavar="POINTS", help=f"Points a day, or `{NONE}`.")]


@command(app, "set", example="guerdon rule set purchase --reward 1 --per 100 --field amount_cents")
async def set_rule(
    runtime: Runtime,
    event_type: Annotated[
        str | None, typer.Argument(metavar="[EVENT_TYPE]", help="Left out with --custom: the rule gets an id of its own.")
    ] = None,
    program: ProgramOption = None,
    *,
    custom: Annotated[bool, typer.Option("--custom", help="Make a new rule with an id of its own, custom_…")] = False,
    reward: Annotated[int | None, typer.Option(min=0, help="Points an event; with --field, points for each --per.")] = None,
    field: Annotated[str | None, typer.Option(help="Integer field of the metadata that the reward is a rate on.")] = None,
    per: Annotated[int | None, typer.Option(min=1, help="How much of the field earns the reward; rounded down.")] = None,
    least: Annotated[int | None, typer.Option("--min", min=0, help="A smaller value of the field earns nothing.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=0, help="A larger value of the field counts as this.")] = None,
    name: Annotated[str | None, typer.Option(help="At least 3 characters.")] = None,
    description: Annotated[str | None, typer.Option(help="At least 10 characters.")] = None,
    category: Annotated[str | None, typer.Option(help="Account, Commerce, Engagement, Feedback or Custom.")] = None,
    asset: Annotated[str | None, typer.Option(help="What it pays in; the program's own asset if left out.")] = None,
    max_claims_per_user: Annotated[int | None, typer.Option(help="-1 or 999999: unlimited.")] = None,
    max_claims_total: Annotated[int | None, typer.Option(help="Of all users together; -1: unlimited.")] = None,
    cooldown_hours: Annotated[int | None, typer.Option(min=0, help="Between two rewards of one user.")] = None,
    enabled: Annotated[bool | None, typer.Option(help="Whether reports of it are accepted.")] = None,
    browsers: Annotated[
        bool | None, typer.Option("--browsers/--servers-only", help="Who may report it; a rate is for servers only.")
    ] = None,
    requires_email: Annotated[bool | None, typer.Option(help="Refuse users without an email of their own.")] = None,
    channel: Annotated[
        list[str] | None, typer.Option(metavar="CHANNEL", help="A channel it is limited to; may be repeated.")
    ] = None,
    any_channel: Annotated[bool, typer.Option("--any-channel", help="Lift the limit to channels.")] = False,
    detection: Annotated[
        str | None, typer.Option(metavar="JSON", help='For the SDK: [{"method": "url_pattern", "config": {…}}]')
    ] = None,
    daily_cap_account: CapOption = None,
    daily_cap_ip: CapOption = None,
    daily_cap_program: CapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a rule, or change what is given of it.

    A new rule needs --reward. A fixed reward has a cooldown of 24 hours unless told otherwise, a rate none.
    """
    from guerdon.earning import service
    from guerdon.earning.schemas import NewRule

    if custom == (event_type is not None):
        message = "name an event type, or ask for a new one with --custom"
        raise CommandError(message, "guerdon rule set purchase …, or guerdon rule set --custom …")
    said: dict[str, Any] = {
        "event_type": event_type,
        "reward": _reward(reward, field, per, least, most),
        "name": name,
        "description": description,
        "category": category,
        "asset": asset,
        "max_claims_per_user": max_claims_per_user,
        "max_claims_total": max_claims_total,
        "cooldown_hours": cooldown_hours,
        "enabled": enabled,
        "open_to_browsers": browsers,
        "requires_email": requires_email,
        "channels": [] if any_channel else channel or None,
        "detection": None if detection is None else _json(detection),
    }
    caps = {"daily_cap_account": daily_cap_account, "daily_cap_ip": daily_cap_ip, "daily_cap_program": daily_cap_program}
    fields = NewRule.model_validate(
        {key: value for key, value in said.items() if value is not None}
        | {key: None if value == NONE else value for key, value in caps.items() if value is not None}
    )
    found = await program_of(runtime, program)
    now = runtime.clock.now()
    async with runtime.database.program(found.id) as session:
        view = await (
            service.add_rule(session, fields, now) if event_type is None else service.set_rule(session, event_type, fields, now)
        )
    _print(view, as_json=as_json)


@command(app, "list", example="guerdon rule list --json")
async def list_rules(runtime: Runtime, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """Show what the program's event types earn."""
    from guerdon.earning import repository, service

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        views = await service.views(session, await repository.rules_of(session, found.id))
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["event type", "reward", "asset", "per user", "in all", "cooldown", "reported by", "enabled"],
        [
            [
                view.event_type,
                _told(view),
                view.asset,
                _limit(view.max_claims_per_user),
                _limit(view.max_claims_total),
                f"{view.cooldown_hours} h",
                "browsers" if view.open_to_browsers else "servers",
                view.enabled,
            ]
            for view in views
        ],
        empty="There is no rule. Make one: guerdon rule set EVENT_TYPE --reward POINTS",
    )


@command(app, "show", example="guerdon rule show newsletter_subscribe")
async def show(
    runtime: Runtime, event_type: EventTypeArgument, program: ProgramOption = None, as_json: JsonOption = False
) -> None:
    """Show one rule with all its fields."""
    from guerdon.earning import service

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        _print(await service.rule_of(session, event_type), as_json=as_json)


@command(app, "delete", example="guerdon rule delete form_submit")
async def delete(runtime: Runtime, event_type: EventTypeArgument, program: ProgramOption = None) -> None:
    """Remove a rule; what it earned stays booked."""
    from guerdon.earning import service

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        await service.delete_rule(session, event_type)
    typer.echo(f"{event_type} earns nothing any more")


@command(app, "enable", example="guerdon rule enable form_submit")
async def enable(runtime: Runtime, event_type: EventTypeArgument, program: ProgramOption = None) -> None:
    """Turn a rule on."""
    await _switch(runtime, event_type, program, enabled=True)
    typer.echo(f"{event_type} is on")


@command(app, "disable", example="guerdon rule disable form_submit")
async def disable(runtime: Runtime, event_type: EventTypeArgument, program: ProgramOption = None) -> None:
    """Turn a rule off: its event type is refused until it is on again."""
    await _switch(runtime, event_type, program, enabled=False)
    typer.echo(f"{event_type} is off")


async def _switch(runtime: Runtime, event_type: str, program: str | None, *, enabled: bool) -> None:
    from guerdon.earning import service

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        await service.switch_rule(session, event_type, runtime.clock.now(), enabled=enabled)


def _reward(
    reward: int | None, field: str | None, per: int | None, least: int | None, most: int | None
) -> int | dict[str, Any] | None:
    rate = {"field": field, "unit": per, "min": least, "max": most}
    if all(value is None for value in rate.values()):
        return reward
    if reward is None or field is None or per is None:
        message = "a rate has --reward, --per and --field"
        raise CommandError(message, "for a point a dollar: --reward 1 --per 100 --field amount_cents")
    return {"reward": reward, **{name: value for name, value in rate.items() if value is not None}}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"--detection is no JSON: {error}", 'write [{"method": "url_pattern", "config": {…}}]') from error


def _told(view: RuleView) -> str:
    if isinstance(view.reward, int):
        return str(view.reward)
    return f"{view.reward.reward} per {view.reward.unit} {view.reward.field}"


def _limit(value: int) -> str:
    return "unlimited" if value < 0 else str(value)


def _print(view: RuleView, *, as_json: bool) -> None:
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    fields = {name.replace("_", " "): value for name, value in view.model_dump().items()}
    print_fields(
        {
            **fields,
            "reward": _told(view),
            "max claims per user": _limit(view.max_claims_per_user),
            "max claims total": _limit(view.max_claims_total),
            "detection": json.dumps([way.model_dump(mode="json") for way in view.detection]) if view.detection else None,
        }
    )
