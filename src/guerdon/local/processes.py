"""Child processes that leave no orphan behind: how one is started, told apart from a stranger with its number, and stopped.

Nothing here knows what the processes are for; which there are is in `stack.py`, when they start again in `supervisor.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02
_KILL_WAIT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Command:
    """What is run, and how it wants to be stopped."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Added to this process's own."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15
    """How long it may take to stop before it is killed."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that can't be mistaken for a later one with the same number: `started` is its start time."""

    pid: int
    started: str

    def is_alive(self) -> bool:
        """Is it still this process that has the number? A zombie, which nobody can stop any more, is not alive."""
        return _start_time(self.pid) == self.started


def identify(pid: int) -> ProcessId | None:
    """The process that has this number now, or None."""
    started = _start_time(pid)
    return None if started is None else ProcessId(pid, started)


def _start_time(pid: int) -> str | None:
    if sys.platform == "linux":
        try:
            # The name, in brackets, may hold spaces and brackets itself: the fields are counted from the last one.
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else f"{_boot_id()}/{fields[19]}"
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    state, _, started = shown.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class PidFile:
    """Where a started process is written down, so that the next start finds what this one could not stop."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, process: ProcessId) -> None:
        """Replace what stands there."""
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps({"pid": process.pid, "started": process.started}), encoding="utf-8")
        beside.replace(self.path)

    def read(self) -> ProcessId | None:
        """The process written down, if it still runs."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            process = ProcessId(int(stored["pid"]), str(stored["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return process if process.is_alive() else None

    def remove(self) -> None:
        """Nothing runs any more."""
        self.path.unlink(missing_ok=True)


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """What a child calls before it becomes its program, so that it gets `signal_number` when this process dies, however it dies.

    Linux only; elsewhere the pid files alone find what is left over.
    """
    parent = os.getpid()
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal_number)
            if os.getppid() != parent:  # it died before the call
                os._exit(1)

    return prepare


class Child:
    """A process of ours."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes], identity: ProcessId | None, pid_file: PidFile) -> None:
        self.command = command
        self.pid = process.pid
        self._process = process
        self._identity = identity
        self._pid_file = pid_file

    @classmethod
    def start(cls, command: Command, *, log: Path, pid_file: PidFile, keep_open: Sequence[int] = ()) -> Child:
        """Run the command with its output appended to `log`, in a process group of its own: Ctrl-C in the terminal reaches
        this process only, which then stops the others in order.

        `OSError` where the program can't be run.
        """
        with log.open("ab") as output:
            process = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **command.environment},
                pass_fds=tuple(keep_open),
                process_group=0,
                # It takes no lock that another thread could hold: one call into libc, one comparison.
                preexec_fn=die_with_parent(command.stop_signal),  # noqa: PLW1509
            )
        identity = identify(process.pid)
        if identity is not None:
            pid_file.write(identity)
        return cls(command, process, identity, pid_file)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; below zero: the signal that killed it."""
        return self._process.poll()

    async def wait(self) -> int:
        """Until it has ended; its exit code."""
        while (code := self._process.poll()) is None:
            await ended(self.pid)
        self._pid_file.remove()
        return code

    def send(self, signal_number: signal.Signals) -> None:
        """Signal it, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(signal_number)

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.kill()

    async def stop(self) -> int:
        """Ask it to end, wait as long as it may take, then kill it; its exit code."""
        self.send(self.command.stop_signal)
        try:
            return await asyncio.wait_for(self.wait(), self.command.stop_seconds)
        except TimeoutError:
            self.kill()
            return await self.wait()


async def stop_leftover(pid_file: PidFile, command_signal: signal.Signals, seconds: float) -> bool:
    """End what a killed run left behind, if anything: ask, wait at most `seconds`, kill. True if there was something."""
    process = pid_file.read()
    if process is None:
        pid_file.remove()
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, command_signal)
    if not await _gone(process, seconds):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await _gone(process, _KILL_WAIT_SECONDS)
    pid_file.remove()
    return True


async def ended(pid: int) -> None:
    """Wait for a process, a child or not, to end; where the system can't tell, only for a moment: look, and call again."""
    if not hasattr(os, "pidfd_open"):
        await asyncio.sleep(_POLL_SECONDS)
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        await asyncio.sleep(_POLL_SECONDS)
        return
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def _gone(process: ProcessId, seconds: float) -> bool:
    deadline = asyncio.get_running_loop().time() + seconds
    while process.is_alive():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def describe_exit(code: int) -> str:
    """An exit code as a person would say it."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
