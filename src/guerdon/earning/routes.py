"""Administration of rules, with an admin key of the platform or of the program; and of new programs, which come with rules."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from guerdon.earning import service
from guerdon.earning.onboarding import open_program
from guerdon.earning.schemas import NewRule, RuleFields, RuleView
from guerdon.kit.api import CursorText, Limit, Page, decode_cursor, page
from guerdon.programs.dependencies import Reading, Writing
from guerdon.programs.schemas import NewProgram, ProgramCreated
from guerdon.settings import Environment

router = APIRouter(prefix="/api/admin", tags=["rules"])

EventTypePath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_]{1,50}$")]


@router.post("/programs", status_code=201, response_model=ProgramCreated, tags=["programs"])
async def create_program(body: NewProgram, request: Writing) -> Response:
    """A new program with the documented event types; its security key is shown this once. For operators of the platform."""
    request.operator.require_platform()
    running = request.services
    now, development = running.clock.now(), running.settings.environment is Environment.DEVELOPMENT
    return await request.write_platform(
        body,
        lambda session: open_program(session, running.secrets, body, now, development=development),
        status=201,
    )


@router.get("/rules")
async def list_rules(request: Reading, limit: Limit = 50, cursor: CursorText = None) -> Page[RuleView]:
    """What the program's event types earn."""
    after = decode_cursor(cursor)
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        rows, following = page(await service.rules_page(session, after, limit), limit, lambda row: row.event_type)
        return Page(items=rows, next_cursor=following)


@router.post("/rules", status_code=201, response_model=RuleView)
async def add_rule(body: NewRule, request: Writing) -> Response:
    """A rule for an event type that has none; without `eventType` the rule gets an id of its own."""
    program = await request.program(body.brand_id)
    now = request.services.clock.now()
    return await request.write_program(program.id, body, lambda session: service.add_rule(session, body, now), status=201)


@router.get("/rules/{event_type}")
async def show_rule(event_type: EventTypePath, request: Reading) -> RuleView:
    """One rule."""
    program = await request.program()
    async with request.services.database.program(program.id) as session:
        return await service.rule_of(session, event_type)


@router.put("/rules/{event_type}", response_model=RuleView)
async def put_rule(event_type: EventTypePath, body: RuleFields, request: Writing) -> Response:
    """Make the rule, or replace it whole: what is not said takes its default."""
    program = await request.program(body.brand_id)
    now = request.services.clock.now()
    return await request.write_program(program.id, body, lambda session: service.put_rule(session, event_type, body, now))


@router.patch("/rules/{event_type}", response_model=RuleView)
async def change_rule(event_type: EventTypePath, body: RuleFields, request: Writing) -> Response:
    """Change what is said and keep the rest; a cap that is null is taken away."""
    program = await request.program(body.brand_id)
    now = request.services.clock.now()
    return await request.write_program(program.id, body, lambda session: service.change_rule(session, event_type, body, now))


@router.delete("/rules/{event_type}", status_code=204, response_class=Response)
async def delete_rule(event_type: EventTypePath, request: Writing) -> Response:
    """Remove a rule; what it earned stays booked."""
    program = await request.program()
    return await request.write_program(program.id, None, lambda session: service.delete_rule(session, event_type))


@router.post("/rules/{event_type}/enable", response_model=RuleView)
async def enable_rule(event_type: EventTypePath, request: Writing) -> Response:
    """Turn a rule on."""
    program = await request.program()
    now = request.services.clock.now()
    return await request.write_program(
        program.id, None, lambda session: service.switch_rule(session, event_type, now, enabled=True)
    )


@router.post("/rules/{event_type}/disable", response_model=RuleView)
async def disable_rule(event_type: EventTypePath, request: Writing) -> Response:
    """Turn a rule off: its event type is refused until it is on again."""
    program = await request.program()
    now = request.services.clock.now()
    return await request.write_program(
        program.id, None, lambda session: service.switch_rule(session, event_type, now, enabled=False)
    )
