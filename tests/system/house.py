"""A whole installation in processes of its own, as a user starts it, with handles to kill each of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.support.services import free_port

GUERDON = (sys.executable, "-m", "guerdon")
ROOT = Path(__file__).parents[2]


class House:
    """`guerdon up` in one data directory."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        """`settings` are variables of its environment."""
        self.data_dir = data_dir
        self.settings = settings
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.output = data_dir.parent / f"{data_dir.name}.out"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def rpc(self) -> str:
        return str(self.told()["rpc"])

    @property
    def superuser_dsn(self) -> str:
        """Past row-level security: for the judge."""
        host = self.told()["database"].partition("host=")[2]
        return f"postgresql://postgres@/guerdon?host={quote(host, safe='%/')}"

    @property
    def cluster(self) -> Path:
        """Where PostgreSQL's files are: elsewhere if its user may not enter the data directory."""
        location = self.data_dir / "postgres" / "location"
        return Path(location.read_text().strip()) if location.exists() else self.data_dir / "postgres"

    def told(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.data_dir / "run" / "endpoints.json").read_text())
        return found

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GUERDON_", "DATABASE_", "REDIS_"))}
        return {**kept, "PYTHONUNBUFFERED": "1", **self.settings, **more}

    def start(self, *, seconds: float = 150) -> float:
        """Start it and wait until it says that everything runs; the seconds it took."""
        began = time.monotonic()
        with self.output.open("ab") as output:
            output.write(b"=== start\n")
            output.flush()
            self.process = subprocess.Popen(
                [*GUERDON, "up", "--port", str(self.port), "--data-dir", str(self.data_dir)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment(),
                cwd="/",
                start_new_session=True,
            )
        process = self.process
        until(lambda: "running; Ctrl-C" in self.said() or process.poll() is not None, seconds, self.said)
        assert process.poll() is None, self.said()
        return time.monotonic() - began

    def said(self) -> str:
        """What the latest start has printed."""
        return self.output.read_text(errors="replace").rpartition("=== start\n")[2]

    def stop(self, number: signal.Signals = signal.SIGTERM, *, seconds: float = 60) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=seconds)

    def kill(self) -> None:
        """SIGKILL of the supervisor itself."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it for good, postgres included, which outlives a kill."""
        if self.process is not None and self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.stop()
            self.process.kill()
            self.process.wait()
        postgres = self.pid("postgres")
        if postgres is not None:
            with suppress(ProcessLookupError):
                os.kill(postgres, signal.SIGQUIT)
        if self.cluster != self.data_dir / "postgres":
            shutil.rmtree(self.cluster, ignore_errors=True)

    def pid(self, name: str) -> int | None:
        """The process of `web`, `worker`, `chain` or `postgres` now."""
        try:
            if name == "chain":
                return int((self.data_dir / "chain" / "anvil.pid").read_text())
            if name == "postgres":
                return int((self.cluster / "data" / "postmaster.pid").read_text().splitlines()[0])
            return int(json.loads((self.data_dir / "run" / f"{name}.pid").read_text())["pid"])
        except (OSError, ValueError, IndexError):
            return None

    def kill_process(self, name: str) -> int:
        """SIGKILL one of them, as soon as it is there; its number."""
        found: list[int] = []

        def try_to_kill() -> bool:
            pid = self.pid(name)
            if pid is None:
                return False
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return False
            found.append(pid)
            return True

        until(try_to_kill, 30, self.said)
        return found[0]

    def cli(self, *arguments: str) -> Any:
        """Run a command on this installation; its JSON."""
        command = [*GUERDON, *arguments, "--data-dir", str(self.data_dir), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment(), cwd="/", timeout=90)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)


def until(condition: Callable[[], bool], seconds: float, what: Callable[[], object]) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)
