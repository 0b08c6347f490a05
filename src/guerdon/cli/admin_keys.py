"""`guerdon admin-key …`: bearer keys for `/api/admin`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import JsonOption, LimitOption, ProgramOption, parse_id, print_fields, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime

app = group("admin-key", "Admin keys: who may call /api/admin.")


@command(
    app, "create", example='guerdon admin-key create --name "release robot" --program 0x00000000000000000000000000000000000000aa'
)
async def create(
    runtime: Runtime,
    *,
    name: Annotated[str, typer.Option(help="Whose key it is.")],
    program: ProgramOption = None,
    platform: Annotated[bool, typer.Option("--platform", help="Of the whole platform instead of one program.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make an admin key. Prints its token, which is shown this once.

    The key of a program reaches that program's rules, domains, security keys, events and payouts, and nothing else.
    """
    from guerdon.programs.admin_keys import create_admin_key
    from guerdon.programs.models import AdminRole
    from guerdon.programs.schemas import NewAdminKey

    if platform:
        new = NewAdminKey(name=name, role=AdminRole.PLATFORM)
    else:
        brand_id = (await program_of(runtime, program)).brand_id
        new = NewAdminKey(name=name, role=AdminRole.PROGRAM, brand_id=brand_id)
    async with runtime.database.platform() as session:
        key = await create_admin_key(session, new, runtime.clock.now())
    if as_json:
        print_json(key.model_dump(mode="json", by_alias=True))
        return
    print_fields({"key id": key.id, "name": key.name, "role": key.role, "brand id": key.brand_id, "token": key.token})
    typer.echo("\nThe token is shown this once. Send it as: Authorization: Bearer TOKEN")


@command(app, "list", example="guerdon admin-key list")
async def list_keys(
    runtime: Runtime, program: ProgramOption = None, limit: LimitOption = 100, as_json: JsonOption = False
) -> None:
    """Show admin keys, without their tokens; of one program with --program."""
    from guerdon.programs.admin_keys import admin_keys_page

    brand_id = None if program is None else (await program_of(runtime, program)).brand_id
    async with runtime.database.platform() as session:
        views = (await admin_keys_page(session, None, limit, brand_id))[:limit]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["key id", "name", "role", "brand id", "created", "revoked"],
        [[v.id, v.name, v.role, v.brand_id, v.created_at, v.revoked_at] for v in views],
        empty="There is no admin key. Make one: guerdon admin-key create --platform --name NAME",
    )


@command(app, "revoke", example="guerdon admin-key revoke 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def revoke(runtime: Runtime, key_id: Annotated[str, typer.Argument(help="As `admin-key list` has it.")]) -> None:
    """End an admin key at once."""
    from guerdon.programs.admin_keys import revoke_admin_key

    wanted = parse_id(key_id)
    async with runtime.database.platform() as session:
        await revoke_admin_key(session, wanted, runtime.clock.now())
    typer.echo(f"{key_id} opens nothing any more")
