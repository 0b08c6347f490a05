"""What an operator does when told to, by the command line that docs/operators.md names. Straight to database and chain."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.prove.site import Site

_SECONDS = 300


class OperatorError(Exception):
    """A command ended with an error."""


class Operator:
    """Runs `guerdon` on a site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def run(self, *arguments: str, **environment: str) -> str:
        """What a command prints. Raises `OperatorError`."""
        code, output, errors = await self.attempt(*arguments, **environment)
        if code:
            raise OperatorError(f"guerdon {' '.join(arguments)}: {output}{errors}")
        return output

    async def ask(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(await self.run(*arguments, "--json"))

    async def attempt(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "guerdon", *arguments,
            env=_inherited() | self._site.command_environment() | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, cwd="/",
        )  # fmt: skip
        try:
            output, errors = await asyncio.wait_for(process.communicate(), _SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return process.returncode or 0, output.decode(), errors.decode()

    async def waits_for_me(self) -> bool:
        """Is a key paused until an operator has looked? Its alert says so; here the database does, which is quicker."""
        return await self._site.value("select exists(select from keys where paused_at is not null and not resumes_by_itself)")

    async def resume_keys(self, write_off: Mapping[str, str] | None = None) -> list[str]:
        """For each paused key: take over what it sent, then let it go on; what remains unaccounted for.

        `write_off`: why that is accepted, by the purpose of the key.
        """
        left: list[str] = []
        for key in await self.ask("key", "list"):
            if key["pauseReason"] is None or key["resumesByItself"]:
                continue
            came = await self.ask("key", "import", key["id"])
            open_ones = [f"{one['transactionHash']}: {one['unmatched']}" for one in came["transactions"] if one["unmatched"]]
            open_ones += [f"nonce {nonce} of {key['address']} is not found" for nonce in came["noncesNotFound"]]
            reason = (write_off or {}).get(key["purpose"])
            if open_ones and reason is None:
                left += open_ones
                continue
            force = ("--force", "--reason", reason) if open_ones and reason else ()
            code, _, errors = await self.attempt("key", "resume", key["id"], *force)
            if code:
                left.append(errors)
        return left


def _inherited() -> dict[str, str]:
    """This process's variables, but for those that say which installation is meant."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GUERDON_", "DATABASE_", "REDIS_"))}
