"""Opening a program: itself, its first security key and the rules it begins with, in one transaction that the caller ends."""

from __future__ import annotations

from datetime import datetime

from guerdon.earning.service import add_default_rules
from guerdon.kit.database import PlatformSession, program_scope
from guerdon.kit.secrets import KeyRing
from guerdon.programs.schemas import NewProgram, ProgramCreated
from guerdon.programs.security_keys import add_security_key
from guerdon.programs.service import create_program, program_view


async def open_program(
    session: PlatformSession, ring: KeyRing, new: NewProgram, now: datetime, *, development: bool
) -> ProgramCreated:
    """Make a program that can be used at once, but for its funds; its security key is in the answer and nowhere else."""
    program = await create_program(session, new, now, development=development)
    async with program_scope(session, program.id):
        key = await add_security_key(session, ring, program.id, now)
        await add_default_rules(session, program.id, program.asset_id, now)
    view = await program_view(session, program)
    return ProgramCreated(**view.model_dump(), security_key=key.security_key, security_key_id=key.id)
