"""`guerdon program fund`: points for a program, backed by tokens in the treasury. The rest of the group is `programs.py`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, program_of
from guerdon.cli.output import CommandError, JsonOption, print_json
from guerdon.cli.programs import BrandArgument, app

if TYPE_CHECKING:
    from uuid import UUID

    from guerdon.app import Runtime
    from guerdon.programs.models import Funding

_POLL_SECONDS = 0.2
_TELL_EVERY = 25


@command(app, "fund", example="guerdon program fund 0x00000000000000000000000000000000000000aa --amount 100000")
async def fund(
    runtime: Runtime,
    brand_id: BrandArgument = None,
    *,
    amount: Annotated[int | None, typer.Option(min=1, max=2**63 - 1, help="Points.")] = None,
    deposit: Annotated[
        str | None,
        typer.Option(metavar="TX", help="A transaction that sent tokens to the treasury; without it they are minted."),
    ] = None,
    network: Annotated[str | None, typer.Option(help="Whose treasury; the default payout option's, if left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Give a program points to reward with. They are booked when their tokens are final in the treasury.

    A running worker does it; stopped and asked again, `guerdon program list` and the funding's id tell what became of it.
    """
    from guerdon.programs import funding
    from guerdon.programs.models import FundingKind
    from guerdon.programs.routes_platform import FundingView

    program = await program_of(runtime, brand_id)
    if deposit is not None:
        found, amount = await funding.find_deposit(runtime.funding_deps(), program.id, deposit, amount, network)
        request = funding.FundingRequest(program.id, amount, found, network)
    elif amount is not None:
        mint = await funding.find_mint(runtime.funding_deps(), program.id, network)
        request = funding.FundingRequest(program.id, amount, network=network, mint=mint)
    else:
        message = "how many points?"
        raise CommandError(message, "give --amount, or --deposit with the transaction that sent the tokens")
    async with runtime.database.platform() as session:
        await funding.request_funding(session, request)
    booked = await _wait(runtime, request.id)
    if as_json:
        print_json(FundingView.model_validate(booked).model_dump(mode="json", by_alias=True))
    else:
        how = "minted" if booked.kind == FundingKind.MINT else "deposited"
        typer.echo(
            f"{booked.points} points are booked for {program.name}: {booked.amount_atomic} of the token's smallest unit, {how} "
            f"on {booked.network} by {booked.transaction_hash}"
        )


async def _wait(runtime: Runtime, funding_id: UUID) -> Funding:
    """The funding once it is booked. Raises `CommandError` if it failed."""
    from guerdon.cli.engine import tell
    from guerdon.programs import repository_funding
    from guerdon.programs.models import FundingState

    turn = 0
    while True:
        async with runtime.database.platform() as session:
            funding = await repository_funding.funding(session, funding_id)
        if funding is not None and funding.state == FundingState.BOOKED:
            return funding
        if funding is not None and funding.state == FundingState.FAILED:
            message = f"funding {funding_id} failed: {funding.reason}"
            raise CommandError(message, "mend the cause and fund again")
        turn += 1
        if turn % _TELL_EVERY == 0:
            why = (None if funding is None else funding.reason) or "until its tokens are final"
            tell(f"waiting {why} (funding {funding_id}; a worker has to be running)")
        await asyncio.sleep(_POLL_SECONDS)
