"""Child processes: none outlives its parent, none is mistaken for another, and one that won't stop is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from guerdon.local.processes import Child, Command, PidFile, ProcessId, describe_exit, identify, stop_leftover

SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
)
PARENT = """
import sys, time
from pathlib import Path
from guerdon.local.processes import Child, Command, PidFile
child = Child.start(Command("sleeper", (sys.executable, "-c", "import time; time.sleep(60)")),
                    log=Path(sys.argv[1]) / "log", pid_file=PidFile(Path(sys.argv[1]) / "sleeper.pid"))
print(child.pid, flush=True)
time.sleep(60)
"""


def start(folder: Path, argv: tuple[str, ...], *, stop_seconds: float = 10) -> Child:
    return Child.start(
        Command("sleeper", argv, stop_seconds=stop_seconds), log=folder / "log", pid_file=PidFile(folder / "sleeper.pid")
    )


async def until(condition: object, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_child_stops_when_asked_and_its_pid_file_goes(tmp_path: Path) -> None:
    child = start(tmp_path, SLEEPER)
    assert PidFile(tmp_path / "sleeper.pid").read() == identify(child.pid)
    assert await child.stop() == -signal.SIGTERM
    assert not (tmp_path / "sleeper.pid").exists()


async def test_a_child_that_ignores_the_signal_is_killed_in_time(tmp_path: Path) -> None:
    child = start(tmp_path, STUBBORN, stop_seconds=0.3)
    await until(lambda: b"up" in (tmp_path / "log").read_bytes())
    began = time.monotonic()
    assert await child.stop() == -signal.SIGKILL
    assert time.monotonic() - began < 3


async def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    await until(lambda: identify(child) is None)


async def test_what_a_killed_run_left_behind_is_stopped_by_the_next(tmp_path: Path) -> None:
    # Started without the tie to its parent, as on a system that has none.
    left = subprocess.Popen(STUBBORN, stdout=subprocess.PIPE, start_new_session=True)
    assert left.stdout is not None
    left.stdout.readline()
    process = identify(left.pid)
    assert process is not None
    pid_file = PidFile(tmp_path / "left.pid")
    pid_file.write(process)
    assert await stop_leftover(pid_file, signal.SIGTERM, 0.2)
    assert left.wait(timeout=5) == -signal.SIGKILL
    left.stdout.close()
    assert not await stop_leftover(pid_file, signal.SIGTERM, 0.2)


async def test_a_stranger_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEPER)
    try:
        pid_file = PidFile(tmp_path / "old.pid")
        pid_file.write(ProcessId(stranger.pid, "started at another time"))
        assert not await stop_leftover(pid_file, signal.SIGTERM, 1)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_broken_pid_file_is_no_process(tmp_path: Path) -> None:
    for text in ("", "12", "{}", '{"pid": null, "started": 1}', "\x00"):
        (tmp_path / "x.pid").write_text(text)
        assert PidFile(tmp_path / "x.pid").read() is None


def test_a_zombie_is_not_alive() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    process = identify(ended.pid) or ProcessId(ended.pid, "")
    while Path(f"/proc/{ended.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert not process.is_alive()
    ended.wait()


def test_this_process_is_itself() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert me.is_alive()


def test_exit_codes_are_said_in_words() -> None:
    assert describe_exit(-9) == "was ended by SIGKILL"
    assert describe_exit(3) == "ended with code 3"
