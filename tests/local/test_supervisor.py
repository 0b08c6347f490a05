"""What a supervisor does when a service dies, will not start, or is to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from guerdon.local.processes import Command
from guerdon.local.services import Program
from guerdon.local.supervisor import StartError, Supervisor

READY = "import os; os.write(int(os.environ['GUERDON_READY_FD']), b'ready'); "


class Heard(list[tuple[str, str]]):
    """What was announced."""

    def __call__(self, name: str, sentence: str) -> None:
        self.append((name, sentence))


def program(folder: Path, code: str, *, name: str = "thing", start_seconds: float = 10) -> Program:
    command = Command(name, (sys.executable, "-c", code), stop_seconds=5)
    (folder / "run").mkdir(exist_ok=True)
    return Program(command, logs=folder / "logs", run=folder / "run", start_seconds=start_seconds)


async def until_heard(heard: Heard, text: str) -> None:
    deadline = time.monotonic() + 10
    while not any(text in sentence for _, sentence in heard):
        assert time.monotonic() < deadline, heard
        await asyncio.sleep(0.02)


async def test_a_service_that_is_killed_is_started_again_and_said_so(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard)
    service = program(tmp_path, READY + "import time; time.sleep(60)")
    await supervisor.start(service)
    first = service.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until_heard(heard, "runs again")
    assert service.pid != first
    assert heard[0] == ("thing", "was ended by SIGKILL; starting it again in 0.5 s")
    await supervisor.stop()


async def test_a_service_that_fails_at_start_says_what_it_said(tmp_path: Path) -> None:
    supervisor = Supervisor(Heard())
    with pytest.raises(StartError, match="thing ended with code 3 before it was ready") as raised:
        await supervisor.start(program(tmp_path, "import sys; print('no such thing'); sys.exit(3)"))
    assert raised.value.said == "no such thing"
    await supervisor.stop()


async def test_a_service_that_never_gets_ready_is_told_and_stopped(tmp_path: Path) -> None:
    supervisor = Supervisor(Heard())
    service = program(tmp_path, "import time; print('thinking', flush=True); time.sleep(60)", start_seconds=0.6)
    with pytest.raises(StartError, match=r"thing was not ready after 0\.6 s"):
        await supervisor.start(service)
    pid = service.pid
    assert pid is not None
    await supervisor.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_service_that_keeps_failing_is_tried_with_growing_pauses(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard)
    once = tmp_path / "once"
    code = f"import pathlib, sys; p = pathlib.Path({str(once)!r})\nif p.exists(): sys.exit(4)\np.touch()\n" + READY
    await supervisor.start(program(tmp_path, code))
    await until_heard(heard, "again in 1 s")
    await until_heard(heard, "again in 2 s")
    await supervisor.stop()


async def test_services_stop_group_by_group_and_no_one_is_started_again(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard)
    trace = tmp_path / "trace"
    code = READY + (
        "import signal, sys, time\n"
        "def end(*_):\n time.sleep(0.1); open({trace!r}, 'a').write({name!r} + ' '); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\ntime.sleep(60)"
    )
    for name in ("base", "middle", "top"):
        await supervisor.start(program(tmp_path, code.format(trace=str(trace), name=name), name=name))
    await asyncio.sleep(0.3)  # until the handlers stand
    await supervisor.stop(("top",), ("middle",))
    assert trace.read_text() == "top middle base "
    assert heard == []


async def test_what_has_to_end_now_ends_now(tmp_path: Path) -> None:
    supervisor = Supervisor(Heard())
    service = program(tmp_path, "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "time.sleep(60)")
    await supervisor.start(service)
    supervisor.kill()
    assert await asyncio.wait_for(service.wait(), 3) == "was ended by SIGKILL"
