"""`guerdon campaign …`: what settled payments earn besides, for a time and within a budget."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import CommandError, JsonOption, ProgramOption, parse_id, print_fields, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime
    from guerdon.earning.schemas_campaigns import CampaignView
    from guerdon.kit.database import ProgramSession

app = group("campaign", "Campaigns: multipliers, bonuses, thresholds and pools, with budgets.")

CampaignArgument = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its id; `guerdon campaign list` shows it.")]
FileOption = Annotated[Path | None, typer.Option("--file", metavar="FILE", help="The campaign as JSON, as the API takes it.")]
TimeOption = Annotated[str | None, typer.Option(metavar="TIME", help="2026-12-01 or 2026-12-01T18:00:00Z, UTC.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="multiplier, bonus, threshold or pool.")]
ConfigOption = Annotated[str | None, typer.Option(metavar="JSON", help='What has no option: {"milestones": […], "boosts": […]}')]
PointsOption = Annotated[str | None, typer.Option(metavar="POINTS", help="In the asset's smallest unit.")]
NameOption = Annotated[str | None, typer.Option(help="What members see.")]
DescriptionOption = Annotated[str | None, typer.Option(help="A sentence or two for members.")]
VolumeOption = Annotated[str | None, typer.Option(metavar="MICRO_USD", help="Volume in micro-dollars: 100000000 is 100 USD.")]


@command(app, "create", example='guerdon campaign create "Double week" --type multiplier --multiplier 2 --end-at 2026-12-08')
async def create(
    runtime: Runtime,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Left out with --file.")] = None,
    program: ProgramOption = None,
    *,
    file: FileOption = None,
    type_: TypeOption = None,
    description: DescriptionOption = None,
    facilitator_id: Annotated[str | None, typer.Option(help="One source only: its id, or its facilitator's.")] = None,
    start_at: TimeOption = None,
    end_at: TimeOption = None,
    multiplier: Annotated[str | None, typer.Option(help="A decimal with at most 4 places, above 1.")] = None,
    bonus_points: PointsOption = None,
    threshold_volume: VolumeOption = None,
    threshold_points: PointsOption = None,
    pool_points: PointsOption = None,
    max_budget_points: PointsOption = None,
    max_participants: Annotated[int | None, typer.Option(min=1, help="Accounts that it pays.")] = None,
    config: ConfigOption = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish it at once; else it is a draft.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a campaign: a draft that counts for nothing before it is published. It begins now unless told otherwise."""
    from guerdon.earning import service_campaigns
    from guerdon.earning.schemas_campaigns import NewCampaign

    now = runtime.clock.now()
    if file is None:
        if name is None or type_ is None or end_at is None:
            raise CommandError(
                "a campaign has a name, a type and an end", "guerdon campaign create NAME --type multiplier --end-at 2026-12-08"
            )
        options = {
            "multiplier": multiplier, "bonus_points": bonus_points, "threshold_volume": threshold_volume,
            "threshold_points": threshold_points, "pool_points": pool_points, "max_budget_points": max_budget_points,
            "max_participants": max_participants,
        }  # fmt: skip
        said: dict[str, Any] = {
            "name": name,
            "type": type_,
            "description": description or "",
            "facilitator_id": facilitator_id,
            "start_at": now if start_at is None else _time(start_at),
            "end_at": _time(end_at),
            "config": _config(config) | {key: value for key, value in options.items() if value is not None},
        }
    else:
        said = _read(file)
    new = NewCampaign.model_validate(said | ({"active": True} if publish else {}))
    found = await program_of(runtime, program)
    async with runtime.database.operator(found.id) as session:
        _print(await service_campaigns.add_campaign(session, new, now), as_json=as_json)


@command(app, "update", example="guerdon campaign update CAMPAIGN --config '{\"multiplier\": 3}'")
async def update(
    runtime: Runtime,
    campaign: CampaignArgument,
    program: ProgramOption = None,
    *,
    file: FileOption = None,
    name: NameOption = None,
    description: DescriptionOption = None,
    start_at: TimeOption = None,
    end_at: TimeOption = None,
    config: Annotated[str | None, typer.Option(metavar="JSON", help="Replaces the configuration whole.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is said and keep the rest. A published campaign has a new version from now on; what was earned stays."""
    from guerdon.earning import service_campaigns
    from guerdon.earning.schemas_campaigns import CampaignFields

    options = {
        "name": name,
        "description": description,
        "start_at": None if start_at is None else _time(start_at),
        "end_at": None if end_at is None else _time(end_at),
        "config": None if config is None else _config(config),
    }
    said = {} if file is None else _read(file)
    fields = CampaignFields.model_validate(said | {key: value for key, value in options.items() if value is not None})
    await _do(
        runtime,
        campaign,
        program,
        lambda session, known, now: service_campaigns.put_campaign(session, known, fields, now),
        as_json=as_json,
    )


@command(app, "list", example="guerdon campaign list --json")
async def list_campaigns(runtime: Runtime, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """Show the program's campaigns and what they have cost."""
    from guerdon.earning import repository_campaigns, service_campaigns

    found, views, after = await program_of(runtime, program), list[Any](), None
    async with runtime.database.program(found.id) as session:
        while rows := await repository_campaigns.campaigns_after(session, found.id, after, 200):
            views += await service_campaigns.views(session, rows, runtime.clock.now())
            after = rows[-1].id
    if as_json:
        print_json([view.model_dump(mode="json") for view in views])
        return
    print_table(
        ["campaign", "name", "type", "state", "active", "from", "to", "spent", "budget", "participants"],
        [
            [
                view.id,
                view.name,
                view.type.value,
                view.state.value,
                view.active,
                f"{view.start_at:%Y-%m-%d %H:%M}",
                f"{view.end_at:%Y-%m-%d %H:%M}",
                view.spent_points,
                view.config.pool_points or view.config.max_budget_points or "unlimited",
                view.participants,
            ]
            for view in views
        ],
        empty="There is no campaign. Make one: guerdon campaign create NAME --type multiplier --multiplier 2 --end-at TIME",
    )


@command(app, "show", example="guerdon campaign show CAMPAIGN")
async def show(runtime: Runtime, campaign: CampaignArgument, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """Show one campaign."""
    from guerdon.earning import service_campaigns

    await _do(runtime, campaign, program, service_campaigns.campaign_of, as_json=as_json)


@command(app, "publish", example="guerdon campaign publish CAMPAIGN")
async def publish(
    runtime: Runtime, campaign: CampaignArgument, program: ProgramOption = None, as_json: JsonOption = False
) -> None:
    """Let a draft count for what is settled from now on, within its dates."""
    from guerdon.earning import service_campaigns

    await _do(runtime, campaign, program, service_campaigns.publish, as_json=as_json)


@command(app, "pause", example="guerdon campaign pause CAMPAIGN")
async def pause(runtime: Runtime, campaign: CampaignArgument, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """Let a campaign count for nothing that is settled from now on."""
    from guerdon.earning import service_campaigns

    await _do(runtime, campaign, program, service_campaigns.pause, as_json=as_json)


@command(app, "resume", example="guerdon campaign resume CAMPAIGN")
async def resume(
    runtime: Runtime, campaign: CampaignArgument, program: ProgramOption = None, as_json: JsonOption = False
) -> None:
    """Let a paused campaign count again from now on."""
    from guerdon.earning import service_campaigns

    await _do(runtime, campaign, program, service_campaigns.resume, as_json=as_json)


@command(app, "end", example="guerdon campaign end CAMPAIGN")
async def end(runtime: Runtime, campaign: CampaignArgument, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """End a campaign before its time; a pool is shared out."""
    from guerdon.earning import service_campaigns

    await _do(runtime, campaign, program, service_campaigns.end, as_json=as_json)


@command(app, "delete", example="guerdon campaign delete CAMPAIGN")
async def delete(runtime: Runtime, campaign: CampaignArgument, program: ProgramOption = None) -> None:
    """Remove a draft; what was published is ended instead."""
    from guerdon.earning import service_campaigns

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        await service_campaigns.delete_campaign(session, parse_id(campaign))
    typer.echo(f"{campaign} is deleted")


@command(app, "simulate", example="guerdon campaign simulate --file campaign.json --since 2026-10-01 --until 2026-11-01")
async def simulate(
    runtime: Runtime,
    campaign: Annotated[str | None, typer.Argument(metavar="[CAMPAIGN]", help="Its id; left out with --file.")] = None,
    program: ProgramOption = None,
    *,
    file: FileOption = None,
    since: TimeOption = None,
    until: TimeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a campaign would have cost, and whom it would have paid, had it been active then. Writes nothing."""
    from guerdon.earning import service_simulation
    from guerdon.earning.schemas_campaigns import NewCampaign, SimulationRequest

    asked = SimulationRequest.model_validate(
        {"since": None if since is None else _time(since), "until": None if until is None else _time(until)}
    )
    found, now, history = await program_of(runtime, program), runtime.clock.now(), runtime.settled_history()
    async with runtime.database.program(found.id) as session:
        if file is not None:
            new = NewCampaign.model_validate(_read(file))
            view = await service_simulation.simulate_new(session, new, asked, history, now, None)
        elif campaign is not None:
            view = await service_simulation.simulate_known(session, parse_id(campaign), asked, history, now, None)
        else:
            raise CommandError("name a campaign, or give one with --file", "guerdon campaign simulate CAMPAIGN")
    shown = view.model_dump(mode="json")
    if as_json:
        print_json(shown)
        return
    print_fields({name.replace("_", " "): value for name, value in shown.items() if name not in {"days", "winners"}})
    print_table(["account", "points"], [[one.account_id, one.points] for one in view.winners], empty="It would have paid nobody.")
    print_table(
        ["day", "points", "settlements", "new participants"],
        [[one.day, one.points, one.settlements, one.participants] for one in view.days],
        empty="Nothing was settled then.",
    )


async def _do(
    runtime: Runtime,
    campaign: str,
    program: str | None,
    work: Callable[[ProgramSession, UUID, datetime], Awaitable[CampaignView]],
    *,
    as_json: bool,
) -> None:
    found, known = await program_of(runtime, program), parse_id(campaign)
    async with runtime.database.operator(found.id) as session:
        view = await work(session, known, runtime.clock.now())
    _print(view, as_json=as_json)


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text} is no time", "write 2026-12-01, or 2026-12-01T18:00:00Z") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _config(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--config is no JSON: {error}", 'write {"max_points_per_payer": "100"}') from error
    if not isinstance(config, dict):
        raise CommandError("--config is no JSON object", 'write {"max_points_per_payer": "100"}')
    return config  # pyright: ignore[reportUnknownVariableType] - what is in it is judged by its schema


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} can't be read: {error}", "name a file that holds a campaign as docs/api.md has it") from error


def _print(view: CampaignView, *, as_json: bool) -> None:
    shown = view.model_dump(mode="json")
    if as_json:
        print_json(shown)
        return
    config = {name: value for name, value in shown["config"].items() if value is not None}
    print_fields({name.replace("_", " "): value for name, value in (shown | {"config": json.dumps(config)}).items()})
