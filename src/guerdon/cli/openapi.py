"""`guerdon openapi`: the description of the API, without starting or connecting to anything."""

from __future__ import annotations

from typing import Annotated

import typer

from guerdon.cli.commands import reporting
from guerdon.cli.output import print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("openapi", epilog="Example: guerdon openapi > openapi.json")(reporting(openapi))


def openapi(role: Annotated[str, typer.Option(help="What `guerdon web --role` takes.")] = "all") -> None:
    """Print the OpenAPI document. Starts nothing and connects to nothing."""
    from guerdon.app import WebRole, openapi_document
    from guerdon.cli.output import CommandError

    try:
        wanted = WebRole(role)
    except ValueError as error:
        message = f"{role} is no role"
        raise CommandError(message, f"choose one of: {', '.join(WebRole)}") from error
    print_json(openapi_document(wanted))
