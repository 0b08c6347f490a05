"""`guerdon volume …`: what settled payments earn in a program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import CommandError, JsonOption, ProgramOption, print_fields, print_json

if TYPE_CHECKING:
    from guerdon.app import Runtime
    from guerdon.earning.schemas_volume import VolumeTermsView

app = group("volume", "Settled volume: what it earns, tiers, holding time, caps, expiry.")

NONE = "none"
CapOption = Annotated[str | None, typer.Option(metavar="POINTS", help=f"Points a day, or `{NONE}`.")]
DaysOption = Annotated[str | None, typer.Option(metavar="DAYS", help=f"Days, or `{NONE}`.")]


@command(app, "show", example="guerdon volume show")
async def show(runtime: Runtime, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """Show what settled volume earns."""
    from guerdon.earning import service_volume

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        _print(await service_volume.volume_terms(session), as_json=as_json)


@command(app, "set", example="guerdon volume set --asset PTS --points-per-unit 1 --unit-micro-usd 10000")
async def set_terms(
    runtime: Runtime,
    program: ProgramOption = None,
    *,
    asset: Annotated[str | None, typer.Option(help="What is earned; it has to be claimed.")] = None,
    points_per_unit: Annotated[int | None, typer.Option(min=1, help="Points for each unit of volume.")] = None,
    unit_micro_usd: Annotated[int | None, typer.Option(min=1, help="Micro-dollars: 10000 is 0.01 USD.")] = None,
    credit: Annotated[str | None, typer.Option(help="payer or payee.")] = None,
    backdate_days: Annotated[int | None, typer.Option(min=0, help="Payments so long before an address was proven count.")] = None,
    holding_seconds: Annotated[int | None, typer.Option(min=0, help="Before points are available.")] = None,
    min_volume_micro_usd: Annotated[int | None, typer.Option(min=0, help="A smaller payment earns nothing.")] = None,
    tiers: Annotated[
        str | None, typer.Option(metavar="JSON", help='[{"name": "gold", "volume_micro_usd": "…", "multiplier": 1.5}]')
    ] = None,
    window_days: Annotated[int | None, typer.Option(min=1, help="Volume of so many days makes a tier.")] = None,
    grace_days: Annotated[int | None, typer.Option(min=0, help="A tier stays so long after its volume is gone.")] = None,
    downgrade: Annotated[str | None, typer.Option(help="drop or one_step.")] = None,
    cap_account: CapOption = None,
    cap_payer: CapOption = None,
    cap_program: CapOption = None,
    expire_after_days: DaysOption = None,
    expire_idle_days: DaysOption = None,
    warn_days: Annotated[int | None, typer.Option(min=0, help="So long before points expire, it is said.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is given, for what is booked from now on."""
    from guerdon.earning import service_volume
    from guerdon.earning.schemas_volume import VolumeTermsFields

    plain: dict[str, Any] = {
        "asset": asset, "points_per_unit": points_per_unit, "unit_micro_usd": unit_micro_usd, "credit": credit,
        "backdate_days": backdate_days, "holding_seconds": holding_seconds, "min_volume_micro_usd": min_volume_micro_usd,
        "tiers": None if tiers is None else _json(tiers), "window_days": window_days, "grace_days": grace_days,
        "downgrade": downgrade, "warn_days": warn_days,
    }  # fmt: skip
    lifted = {
        "cap_account": cap_account, "cap_payer": cap_payer, "cap_program": cap_program, "expire_after_days": expire_after_days,
        "expire_idle_days": expire_idle_days,
    }  # fmt: skip
    fields = VolumeTermsFields.model_validate(
        {name: value for name, value in plain.items() if value is not None}
        | {name: None if value == NONE else value for name, value in lifted.items() if value is not None}
    )
    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        view = await service_volume.put_volume_terms(session, fields, runtime.clock.now())
    _print(view, as_json=as_json)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"--tiers is no JSON: {error}", 'write [{"name": "bronze", "volume_micro_usd": "0"}, …]') from error


def _print(view: VolumeTermsView, *, as_json: bool) -> None:
    shown = view.model_dump(mode="json")
    if as_json:
        print_json(shown)
        return
    tiers = ", ".join(f"{tier['name']} from {tier['volume_micro_usd']} ({tier['multiplier']})" for tier in shown["tiers"])
    print_fields({name.replace("_", " "): value for name, value in (shown | {"tiers": tiers}).items()})
