"""`guerdon program …`: programs, their domains and security keys. Funding is `funding.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import JsonOption, LimitOption, ProgramOption, parse_id, print_fields, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime
    from guerdon.programs.schemas import ProgramView

app = group("program", "Programs: who rewards people.")
domains = group("domain", "Hosts from which a program's browsers report.")
keys = group("key", "Security keys, with which a program's servers sign.")
app.add_typer(domains)
app.add_typer(keys)

BrandArgument = Annotated[str | None, typer.Argument(metavar="[BRAND_ID]", help="The program; not needed for the only one.")]
UNLIMITED = "none"
CapOption = Annotated[str | None, typer.Option(metavar="POINTS", help=f"Points a day, or `{UNLIMITED}`.")]


@command(app, "create", example='guerdon program create --name "Acme" --domain shop.example.com --json')
async def create(
    runtime: Runtime,
    *,
    name: Annotated[str, typer.Option(help="What people call it.")],
    brand_id: Annotated[str | None, typer.Option(help="Its public id, an EVM address; made up if left out.")] = None,
    domain: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="A host its browsers report from; may be repeated.")
    ] = None,
    asset: Annotated[str, typer.Option(help="What its rules pay in.")] = "LTZ",
    as_json: JsonOption = False,
) -> None:
    """Make a program. Prints its id and its security key, which is shown this once.

    It comes with the six documented event types, open to browsers, and with daily caps.
    """
    from guerdon.earning.onboarding import open_program
    from guerdon.programs.schemas import NewProgram
    from guerdon.settings import Environment

    new = NewProgram(name=name, brand_id=brand_id, domains=domain or [], asset=asset)
    development = runtime.settings.environment is Environment.DEVELOPMENT
    async with runtime.database.platform() as session:
        made = await open_program(session, runtime.secrets, new, runtime.clock.now(), development=development)
    if as_json:
        print_json(made.model_dump(mode="json", by_alias=True))
        return
    print_fields({"brand id": made.brand_id, "name": made.name, "domains": made.domains, "security key": made.security_key})
    typer.echo("\nThe security key is shown this once. Next: guerdon program fund, guerdon rule list")


@command(app, "list", example="guerdon program list")
async def list_programs(runtime: Runtime, limit: LimitOption = 100, as_json: JsonOption = False) -> None:
    """Show programs in the order in which they were made."""
    from guerdon.programs import repository, service

    async with runtime.database.platform() as session:
        views = await service.program_views(session, await repository.programs_after(session, None, limit))
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["brand id", "name", "asset", "automation", "domains", "created"],
        [[v.brand_id, v.name, v.asset, "on" if v.automation_enabled else "off", v.domains, v.created_at] for v in views],
        empty="There is no program yet. Make one: guerdon program create --name NAME",
    )


@command(app, "show", example="guerdon program show 0x00000000000000000000000000000000000000aa")
async def show(runtime: Runtime, brand_id: BrandArgument = None, as_json: JsonOption = False) -> None:
    """Show one program with its settings."""
    from guerdon.programs.service import program_view

    program = await program_of(runtime, brand_id)
    async with runtime.database.platform() as session:
        _print(await program_view(session, program), as_json=as_json)


@command(app, "update", example="guerdon program update --no-automation --browser-cap-ip 1000")
async def update(
    runtime: Runtime,
    brand_id: BrandArgument = None,
    *,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    automation: Annotated[bool | None, typer.Option(help="Off: every report is refused.")] = None,
    unsigned_reports: Annotated[
        bool | None, typer.Option(help="Accept reports without signature and Origin, as existing bots send them.")
    ] = None,
    unsigned_lookups: Annotated[bool | None, typer.Option(help="Tell a balance to whoever asks.")] = None,
    reversal_policy: Annotated[
        str | None, typer.Option(help="What a reversal may take: pending_only, within_balance or debt.")
    ] = None,
    synthetic_domain: Annotated[
        str | None, typer.Option(help=f"Addresses platform_id@HOST name platform users; or `{UNLIMITED}`.")
    ] = None,
    address_wait_hours: Annotated[
        int | None, typer.Option(min=0, max=720, help="How long an account's second and later addresses wait for tokens.")
    ] = None,
    claim_review_points: Annotated[
        str | None,
        typer.Option(metavar="POINTS", help=f"An account that claims more in 24 hours waits for an operator; or `{UNLIMITED}`."),
    ] = None,
    browser_cap_program: CapOption = None,
    browser_cap_account: CapOption = None,
    browser_cap_ip: CapOption = None,
    gas_budget_wei: Annotated[
        str | None,
        typer.Option(
            metavar="WEI", help=f"What its payouts may cost a day on each network, in 10^-18 of its coin, or `{UNLIMITED}`."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change a program's settings; what is left out stays."""
    from guerdon.programs.administration import Operator
    from guerdon.programs.schemas import ProgramChange
    from guerdon.programs.service import changed_program_view
    from guerdon.settings import Environment

    said = {
        "name": name,
        "automation_enabled": automation,
        "unsigned_reports": unsigned_reports,
        "unsigned_lookups": unsigned_lookups,
        "reversal_policy": reversal_policy,
        "synthetic_domain": synthetic_domain,
        "address_wait_hours": address_wait_hours,
        "claim_review_points": claim_review_points,
        "browser_cap_program": browser_cap_program,
        "browser_cap_account": browser_cap_account,
        "browser_cap_ip": browser_cap_ip,
        "gas_budget_wei": gas_budget_wei,
    }
    change = ProgramChange.model_validate(
        {field: None if value == UNLIMITED else value for field, value in said.items() if value is not None}
    )
    program = await program_of(runtime, brand_id)
    development = runtime.settings.environment is Environment.DEVELOPMENT
    async with runtime.database.program(program.id) as session:
        operator = Operator.of_this_machine()
        view = await changed_program_view(session, operator, program.id, change, development=development)
    _print(view, as_json=as_json)


@command(domains, "add", example="guerdon program domain add '*.example.com' -p 0x00000000000000000000000000000000000000aa")
async def add_domain(
    runtime: Runtime,
    domain: Annotated[str, typer.Argument(help="A host, or *.host for all below it.")],
    program: ProgramOption = None,
) -> None:
    """Let browsers report from a host."""
    from guerdon.programs import service
    from guerdon.settings import Environment

    found = await program_of(runtime, program)
    development = runtime.settings.environment is Environment.DEVELOPMENT
    async with runtime.database.program(found.id) as session:
        added = await service.add_domain(session, found.id, domain, runtime.clock.now(), development=development)
    typer.echo(f"{added} may report for {found.brand_id}")


@command(domains, "remove", example="guerdon program domain remove shop.example.com")
async def remove_domain(
    runtime: Runtime, domain: Annotated[str, typer.Argument(help="As `program show` has it.")], program: ProgramOption = None
) -> None:
    """Refuse reports of browsers from a host."""
    from guerdon.programs import service

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        await service.remove_domain(session, found.id, domain)
    typer.echo(f"{domain} may no longer report for {found.brand_id}")


@command(keys, "rotate", example="guerdon program key rotate --grace-hours 48")
async def rotate_key(
    runtime: Runtime,
    program: ProgramOption = None,
    *,
    grace_hours: Annotated[int, typer.Option(min=0, max=720, help="How long the present key stays valid.")] = 24,
    revoke_old: Annotated[bool, typer.Option("--revoke-old", help="End the present key at once: it has leaked.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new security key, shown this once. The present one stays valid for the grace time."""
    from guerdon.programs.schemas import Rotation
    from guerdon.programs.security_keys import rotate_security_key

    found = await program_of(runtime, program)
    rotation = Rotation(grace_hours=grace_hours, revoke_old=revoke_old)
    async with runtime.database.program(found.id) as session:
        key = await rotate_security_key(session, runtime.secrets, found.id, rotation, runtime.clock.now())
    if as_json:
        print_json({"brandId": found.brand_id, **key.model_dump(mode="json", by_alias=True)})
        return
    print_fields({"brand id": found.brand_id, "key id": key.id, "security key": key.security_key})
    typer.echo("\nThe security key is shown this once.")


@command(keys, "list", example="guerdon program key list")
async def list_keys(runtime: Runtime, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """Show security keys, without their secrets."""
    from guerdon.programs.security_keys import security_keys_page

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        views = await security_keys_page(session, found.id, None, 1000)
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    now = runtime.clock.now()
    print_table(
        ["key id", "ends with", "created", "expires", "valid"],
        [[v.id, v.hint, v.created_at, v.expires_at, v.expires_at is None or v.expires_at > now] for v in views],
        empty="There is no security key. Make one: guerdon program key rotate",
    )


@command(keys, "revoke", example="guerdon program key revoke 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def revoke_key(
    runtime: Runtime, key_id: Annotated[str, typer.Argument(help="As `program key list` has it.")], program: ProgramOption = None
) -> None:
    """End a security key at once."""
    from guerdon.programs.security_keys import revoke_security_key

    wanted = parse_id(key_id)
    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        await revoke_security_key(session, found.id, wanted, runtime.clock.now())
    typer.echo(f"{key_id} signs no more")


def _print(view: ProgramView, *, as_json: bool) -> None:
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    print_fields({name.replace("_", " "): value for name, value in view.model_dump().items()})
