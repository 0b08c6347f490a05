"""`guerdon source …` and `guerdon settlement-asset …`: where payments are reported from, and which tokens count."""

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
    from uuid import UUID

    from guerdon.activity.settlements.schemas import SourceView
    from guerdon.app import Runtime

app = group("source", "Sources: where a program's payments are reported from.")

SourceArgument = Annotated[str, typer.Argument(metavar="SOURCE", help="Its id or name, as `source list` has it.")]
SignerOption = Annotated[
    list[str] | None,
    typer.Option("--signer", metavar="NETWORK=ADDRESS", help="Who sends its transactions; nobody else's count. May be repeated."),
]
NetworkNameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--network-name",
        metavar="THEIRS=OURS",
        help="What the facilitator calls a network that has another name here. May be repeated.",
    ),
]


def _signers(given: list[str] | None) -> dict[str, list[str]] | None:
    if given is None:
        return None
    found: dict[str, list[str]] = {}
    for one in given:
        network, equals, address = one.rpartition("=")
        if not equals or not network:
            message = f"{one} names no signer"
            raise CommandError(message, "write it as NETWORK=ADDRESS, as in base=0x7c76…")
        found.setdefault(network, []).append(address)
    return found


def _network_names(given: list[str] | None) -> dict[str, str] | None:
    if given is None:
        return None
    found = {theirs: ours for theirs, _, ours in (one.rpartition("=") for one in given)}
    if not all(found) or not all(found.values()):
        raise CommandError("a network has two names here", "write them as THEIRS=OURS")
    return found


def _from_block(given: list[str] | None) -> dict[str, int] | None:
    if given is None:
        return None
    try:
        return {network: int(block) for network, _, block in (one.rpartition("=") for one in given)}
    except ValueError as error:
        raise CommandError("a block is a number", "write it as NETWORK=BLOCK, as in base=24000000") from error


@command(
    app,
    "create",
    example="guerdon source create --name pay --kind openfacilitator --signer base=0x7c766f5fd9ab3dc09acad5ecfacc99c4781efe29",
)
async def create(
    runtime: Runtime,
    *,
    name: Annotated[str, typer.Option(help="What people call it.")],
    kind: Annotated[
        str,
        typer.Option(help="openfacilitator, standard_webhooks, x402, x402layer, sqlite, postgres or chain."),
    ],
    signer: SignerOption = None,
    network_name: NetworkNameOption = None,
    facilitator_id: Annotated[str | None, typer.Option(help="What the facilitator calls itself in its reports.")] = None,
    location: Annotated[
        str | None, typer.Option(help="Of a database that is read: an absolute path, or a postgresql:// address.")
    ] = None,
    reads_chain: Annotated[
        bool | None, typer.Option(help="Read what its signers send from the chain too, to find lost reports.")
    ] = None,
    from_block: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK=BLOCK", help="Where reading the chain begins; may be repeated.")
    ] = None,
    program: ProgramOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a source. Prints where it reports to, and its secret, which is shown this once.

    The secret of a facilitator that made one itself is set by `source secret`.
    """
    from guerdon.activity.settlements.schemas import NewSource
    from guerdon.activity.settlements.sources import Maker, create_source
    from guerdon.programs.administration import Operator

    new = NewSource.model_validate(
        {
            "name": name,
            "kind": kind,
            "signers": _signers(signer) or {},
            "network_names": _network_names(network_name) or {},
            "facilitator_id": facilitator_id,
            "location": location,
            "reads_chain": reads_chain,
            "from_block": _from_block(from_block),
        }
    )
    found = await program_of(runtime, program)
    maker = Maker(runtime.secrets, Operator.of_this_machine(), runtime.clock.now())
    async with runtime.database.program(found.id) as session:
        made = await create_source(session, found.id, new, maker)
    if as_json:
        print_json(made.model_dump(mode="json", by_alias=True))
        return
    print_fields({"id": made.id, "name": made.name, "reports to": made.webhook_path, "secret": made.secret})
    if made.secret is not None:
        typer.echo("\nThe secret is shown this once.")


@command(app, "list", example="guerdon source list")
async def list_sources(
    runtime: Runtime, program: ProgramOption = None, limit: LimitOption = 100, as_json: JsonOption = False
) -> None:
    """Show the program's sources."""
    from guerdon.activity.settlements.repository_sources import sources_after
    from guerdon.activity.settlements.sources import source_views

    found = await program_of(runtime, program)
    async with runtime.database.program(found.id) as session:
        rows = await sources_after(session, found.id, None, limit)
        views = await source_views(session, found.id, rows, runtime.clock.now())
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["id", "name", "kind", "on", "signers", "reports to", "last report", "last read", "error"],
        [
            [
                v.id, v.name, v.kind, v.enabled, [f"{n}={a}" for n, addresses in v.signers.items() for a in addresses],
                v.webhook_path, v.last_report_at, v.read_at, v.read_error,
            ]
            for v in views
        ],
        empty="There is no source yet. Make one: guerdon source create --name NAME --kind KIND",
    )  # fmt: skip


@command(app, "update", example="guerdon source update pay --signer base=0x7c766f5fd9ab3dc09acad5ecfacc99c4781efe29")
async def update(
    runtime: Runtime,
    source: SourceArgument,
    *,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    signer: SignerOption = None,
    network_name: NetworkNameOption = None,
    location: Annotated[str | None, typer.Option(help="Of a database that is read.")] = None,
    reads_chain: Annotated[bool | None, typer.Option(help="Read what its signers send from the chain too.")] = None,
    enabled: Annotated[bool | None, typer.Option(help="Off: its reports are refused, and it is not read.")] = None,
    program: ProgramOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a source; what is left out stays. Signers that are given replace those that there were."""
    from guerdon.activity.settlements.schemas import SourceChange
    from guerdon.activity.settlements.sources import Maker, change_source
    from guerdon.programs.administration import Operator

    said = {
        "name": name, "signers": _signers(signer), "network_names": _network_names(network_name), "location": location,
        "reads_chain": reads_chain, "enabled": enabled,
    }  # fmt: skip
    change = SourceChange.model_validate({field: value for field, value in said.items() if value is not None})
    found = await program_of(runtime, program)
    source_id = await source_of(runtime, found.id, source)
    maker = Maker(runtime.secrets, Operator.of_this_machine(), runtime.clock.now())
    async with runtime.database.program(found.id) as session:
        view = await change_source(session, found.id, source_id, change, maker)
    _print(view, as_json=as_json)


@command(app, "secret", example="guerdon source secret pay --grace-hours 48")
async def secret(
    runtime: Runtime,
    source: SourceArgument,
    *,
    secret_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="With the facilitator's own secret; - for stdin, or GUERDON_SOURCE_SECRET. Else one is made."
        ),
    ] = None,
    grace_hours: Annotated[int, typer.Option(min=0, max=720, help="How long the present secret stays valid.")] = 24,
    revoke_old: Annotated[bool, typer.Option("--revoke-old", help="End the present secret at once: it has leaked.")] = False,
    program: ProgramOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make or set a new secret, shown this once. The present one stays valid for the grace time."""
    from guerdon.activity.settlements.schemas import SecretRotation
    from guerdon.activity.settlements.sources import Maker, rotate_secret
    from guerdon.cli.output import private_key_of
    from guerdon.programs.administration import Operator

    given = private_key_of(secret_file, "GUERDON_SOURCE_SECRET")
    rotation = SecretRotation(secret=given, grace_hours=grace_hours, revoke_old=revoke_old)
    found = await program_of(runtime, program)
    source_id = await source_of(runtime, found.id, source)
    maker = Maker(runtime.secrets, Operator.of_this_machine(), runtime.clock.now())
    async with runtime.database.program(found.id) as session:
        new = await rotate_secret(session, found.id, source_id, rotation, maker)
    if as_json:
        print_json(new.model_dump(mode="json", by_alias=True))
        return
    print_fields({"secret id": new.id, "secret": new.secret})
    typer.echo("\nThe secret is shown this once.")


async def source_of(runtime: Runtime, program_id: UUID, text: str) -> UUID:
    """The id of the source that an argument names."""
    from guerdon.activity.settlements.repository_sources import source_named

    async with runtime.database.program(program_id) as session:
        named = await source_named(session, program_id, text)
    return parse_id(text) if named is None else named.id


def _print(view: SourceView, *, as_json: bool) -> None:
    if as_json:
        print_json(view.model_dump(mode="json", by_alias=True))
        return
    shown = view.model_dump(exclude={"secrets"})
    print_fields({name.replace("_", " "): value for name, value in shown.items()})
