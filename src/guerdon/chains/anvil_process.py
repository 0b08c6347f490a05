"""Processes around the local chain: finding anvil, what a killed run left behind, and a child that dies with its parent."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_POLL_SECONDS: Final = 0.05
_KILL_SECONDS: Final = 5
_PR_SET_PDEATHSIG: Final = 1
_SYSTEMS: Final = {"linux": "linux", "darwin": "darwin", "win32": "win32"}
_MACHINES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class LocalChainError(Exception):
    """The local chain can't be started or went wrong: what is the matter, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem = problem
        self.remedy = remedy


def find_anvil(given: Path | None = None) -> Path:
    """The anvil program: the one that is given, that of the npm packages in `contracts/`, or one on the path.

    Raises `LocalChainError`.
    """
    if given is not None:
        if given.is_file() and os.access(given, os.X_OK):
            return given
        raise LocalChainError(f"{given} is no program", "name the anvil binary, or leave the setting out")
    # The npm package `anvil` is a small node program around this one; killed, it would leave the chain running.
    name = f"anvil-{_SYSTEMS.get(sys.platform, sys.platform)}-{_MACHINES.get(platform.machine().lower(), platform.machine())}"
    packaged = Path(__file__).parents[3] / "contracts" / "node_modules" / "@foundry-rs" / name / "bin" / "anvil"
    if packaged.is_file():
        return packaged
    on_path = shutil.which("anvil")
    if on_path is not None:
        return Path(on_path)
    raise LocalChainError(
        "the local chain's program, anvil, is not installed", "run `make setup`, or `npm install` in contracts/"
    )


async def stop_leftover(pid: int, marker: str, seconds: float) -> None:
    """End the process that a killed run left behind, if it still runs: asked nicely, anvil writes its state first.

    The number may have gone to a stranger by now: only a command that names `marker` is ours.
    """
    for signal_number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, _KILL_SECONDS)):
        if marker not in _command_of(pid):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal_number)
        for _ in range(round(patience / _POLL_SECONDS)):
            if marker not in _command_of(pid):
                break
            await asyncio.sleep(_POLL_SECONDS)


def is_free(port: int) -> bool:
    """Can this port of this machine be listened on?"""
    with socket.socket() as probe:
        # Connections of an earlier run that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of this machine that nobody listens on, for now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command_of(pid: int) -> str:
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    shown = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return shown.stdout


def die_with_parent() -> Callable[[], None]:
    """For Linux: anvil stops, and writes its state, when this process dies in whatever way."""
    parent = os.getpid()
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if library is not None:
            library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before the call
                os._exit(1)

    return prepare
