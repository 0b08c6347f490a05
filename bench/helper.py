"""A process of the bench itself: told what to do by a line on stdin, says `ready`, waits for `go`, answers with a line."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench.report import BenchError

_ROOT = Path(__file__).parents[1]


class Helper:
    """One that runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def say(self, line: bytes) -> None:
        """Write it a line."""
        if self._process.stdin is None:
            raise BenchError("a helper of the bench has no stdin")
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    async def heard(self) -> bytes:
        """Its next line. Raises `BenchError` if it ends instead; what it said is on the terminal then."""
        line = b"" if self._process.stdout is None else await asyncio.to_thread(self._process.stdout.readline)
        if not line:
            raise BenchError("a helper of the bench ended without a result")
        return line


@contextmanager
def helper(module: str, job: bytes) -> Generator[Helper]:
    """Start `module` with its job; killed at the end of the block."""
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            started = Helper(process)
            started.say(job)
            yield started
        finally:
            process.kill()
