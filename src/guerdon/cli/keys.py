"""`guerdon key …`: the keys that sign chain transactions, and what to do when one has stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group
from guerdon.cli.output import CommandError, JsonOption, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime
    from guerdon.txmanager.models import Key

app = group("key", "Keys: what signs chain transactions.")

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its address or id, as `key list` has it.")]


async def _key(runtime: Runtime, name: str) -> Key:
    from guerdon.txmanager import repository_keys

    async with runtime.database.platform() as session:
        found = [one for one in await repository_keys.keys(session) if name.lower() in {one.address.lower(), str(one.id)}]
    if len(found) > 1:
        message = f"{name} is a key on {', '.join(one.network for one in found)}"
        raise CommandError(message, "give its id: guerdon key list")
    if not found:
        message = f"there is no key {name}"
        raise CommandError(message, "guerdon key list")
    return found[0]


@command(app, "list", example="guerdon key list")
async def list_keys(runtime: Runtime, as_json: JsonOption = False) -> None:
    """Show the signing keys, without their secrets, and why one stands still."""
    from guerdon.txmanager import repository_keys
    from guerdon.txmanager.schemas import KeyView

    async with runtime.database.platform() as session:
        views = [KeyView.model_validate(key) for key in await repository_keys.keys(session)]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    print_table(
        ["key id", "network", "purpose", "address", "next nonce", "native (wei)", "paused"],
        [[v.id, v.network, v.purpose, v.address, v.next_nonce, v.native_balance_wei, v.pause_reason] for v in views],
        empty="There is no key yet; deploying contracts makes the first: guerdon contracts deploy",
    )


@command(app, "pause", example='guerdon key pause 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --reason "leaked?"')
async def pause(runtime: Runtime, key: KeyArgument, *, reason: Annotated[str, typer.Option(help="Why.")]) -> None:
    """Sign nothing more with a key. What it signed before is still watched, and sent again where needed."""
    from guerdon.txmanager import service_keys

    found = await _key(runtime, key)
    async with runtime.database.platform() as session:
        await service_keys.pause_key(session, found.id, reason)
    typer.echo(f"paused: {reason}")


@command(app, "import", example="guerdon key import 0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
async def import_unknown(runtime: Runtime, key: KeyArgument, as_json: JsonOption = False) -> None:
    """Account for what a paused key sent and this database does not know, as after the restoration of a backup.

    Payments are matched by their batch, else by recipient and amount: what they paid is delivered and not paid again. May be
    run again at any time; then: guerdon key resume.
    """
    from guerdon.payouts.importing import import_key

    found = await _key(runtime, key)
    if await _is_solana(runtime, found):
        await _import_solana(runtime, found, as_json=as_json)
        return
    came = await import_key(runtime.payout_deps(), found.id)
    if as_json:
        transactions = [
            {"transactionHash": one.transaction_hash, "nonce": one.nonce, "what": one.what, "unmatched": one.unmatched}
            for one in came.transactions
        ]
        print_json({"complete": came.is_complete, "transactions": transactions, "noncesNotFound": list(came.missing)})
        return
    print_table(
        ["nonce", "transaction", "what it was", "not accounted for"],
        [[one.nonce, one.transaction_hash, one.what, one.unmatched] for one in came.transactions],
        empty="Everything that the key sent, as far as it is final, is known.",
    )
    if came.missing:
        typer.echo(f"The node does not find who used nonces {', '.join(map(str, came.missing))}: use one that keeps all blocks.")
    if came.is_complete:
        typer.echo(f"Next: guerdon key resume {found.address}")
    else:
        typer.echo("Report again what the books lost and import again, or accept it: guerdon key resume --force --reason WHY")


async def _is_solana(runtime: Runtime, key: Key) -> bool:
    from guerdon.chains.networks import SOLANA
    from guerdon.txmanager import service_keys

    async with runtime.database.platform() as session:
        return (await service_keys.network(session, key.network)).namespace == SOLANA


async def _import_solana(runtime: Runtime, key: Key, *, as_json: bool) -> None:
    from guerdon.payouts.solana.importing import import_key

    told = await import_key(runtime.payout_deps(), await runtime.chain.solana(key.network), key.id)
    is_complete = all(one.unmatched is None for one in told)
    if as_json:
        transactions = [{"transactionHash": one.signature, "what": one.what, "unmatched": one.unmatched} for one in told]
        print_json({"complete": is_complete, "transactions": transactions})
        return
    print_table(
        ["transaction", "what it was", "not accounted for"],
        [[one.signature, one.what, one.unmatched] for one in told],
        empty="Everything that the key sent, as far as it is final, is known.",
    )
    if is_complete:
        typer.echo(f"Next: guerdon key resume {key.address}")
    else:
        typer.echo("Accept what is not accounted for, as it may be paid again: guerdon key resume --force --reason WHY")


@command(app, "resume", example="guerdon key resume 0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
async def resume(
    runtime: Runtime,
    key: KeyArgument,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even with transactions that nothing accounts for; they may be paid again.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why, with --force; it is kept.")] = None,
) -> None:
    """Let a key sign again, once all that it sent is known. Refuses while something is not accounted for."""
    from guerdon.txmanager import importing
    from guerdon.txmanager.chain import Chain

    if force and not reason:
        message = "--force needs a reason"
        raise CommandError(message, "say with --reason why what is not accounted for may stay so")
    found = await _key(runtime, key)
    if await _is_solana(runtime, found):
        from guerdon.txmanager.solana import importing as solana_importing

        solana = await runtime.chain.solana(found.network)
        await solana_importing.resume(runtime.database, solana, found.id, accept=reason if force else None)
        typer.echo("resumed")
        return
    chain = Chain(await runtime.chain(found.network))
    await importing.resume(runtime.database, chain, found.id, accept=reason if force else None)
    typer.echo("resumed")
