"""`guerdon secret …`: what is stored encrypted, and the secret key that it is encrypted under."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from guerdon.cli.commands import command, group
from guerdon.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from guerdon.app import Runtime

app = group("secret", "Secrets: what is stored encrypted.")


@command(app, "rewrap", example="guerdon secret rewrap")
async def rewrap(runtime: Runtime, as_json: JsonOption = False) -> None:
    """Wrap every stored secret anew under the present secret key, so that GUERDON_OLDER_SECRET_KEYS can be taken away.

    Restart every process with the new key and the older ones first: one that has the old key alone would not open what is
    wrapped anew. The secrets themselves do not change. May be stopped and run again at any time; says what is left.
    """
    from guerdon import rewrapping

    done = await rewrapping.rewrap(runtime.database, runtime.secrets)
    if as_json:
        left = [{"what": kind, "secretKey": key_id, "count": count} for (kind, key_id), count in sorted(done.left.items())]
        print_json({"rewrapped": dict(done.changed), "left": left})
    else:
        for kind, count in sorted(done.changed.items()):
            typer.echo(f"{count} {kind} wrapped anew")
        for (kind, key_id), count in sorted(done.left.items()):
            typer.echo(f"{count} {kind} are under key {key_id}, which is not configured: add it to GUERDON_OLDER_SECRET_KEYS")
        if not done.left:
            typer.echo("Everything is under the present secret key; no older one is needed.")
    if done.left:
        raise typer.Exit(1)
