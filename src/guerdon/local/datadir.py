"""The data directory of one machine's installation: where its parts lie, and its lock: one `guerdon up` at a time (SAFETY S27).

Who may enter it is decided by `settings.ensure_data_dir`; what the database and the chain keep in it is theirs.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import SecretStr

from guerdon.chains.networks import LOCAL_NETWORK, LOCAL_SOLANA
from guerdon.local.supervisor import StartError
from guerdon.settings import Settings

_CHAINS: Final = {LOCAL_NETWORK: "rpc", LOCAL_SOLANA: "solana"}
"""The local networks, and what their addresses are called among the endpoints."""


class DataDir:
    """Names for what is in the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def logs(self) -> Path:
        """What each process says."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Which processes run, and where they listen."""
        return self.path / "run"

    def make(self) -> None:
        """Make the folders; only their owner may read them."""
        for folder in (self.logs, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def remove(self) -> None:
        """Delete the folder and everything of it, once nothing runs."""
        # Where PostgreSQL's user may not enter it, the cluster is elsewhere.
        location = self.path / "postgres" / "location"
        if location.exists():
            shutil.rmtree(location.read_text(encoding="utf-8").strip(), ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the folder for one `guerdon up`. The kernel lets go of it when this process ends, in whatever way."""
        with (self.run / "up.lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                holder = file.read().strip() or "of unknown number"
                raise StartError(
                    f"process {holder} runs on {self.path} already",
                    f"stop it (kill {holder}), or give this one another --data-dir",
                ) from error
            file.seek(0)
            file.truncate()
            file.write(str(os.getpid()))
            file.flush()
            yield
            file.seek(0)
            file.truncate()

    def deployment_id(self) -> UUID | None:
        """Of the installation that this folder is; None before its first start (SAFETY S21)."""
        try:
            return UUID((self.path / "deployment").read_text(encoding="utf-8").strip())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StartError(
                f"{self.path / 'deployment'} has no id in it", "write the id there that the table `deployment` has"
            ) from error

    def keep_deployment_id(self, deployment_id: UUID) -> None:
        """Write it down, so that another installation's database is told apart."""
        beside = self.path / "deployment.new"
        beside.write_text(f"{deployment_id}\n", encoding="utf-8")
        beside.replace(self.path / "deployment")

    def tell(self, endpoints: Mapping[str, str]) -> None:
        """Write down where things listen, for commands and for the next start."""
        beside = self.run / "endpoints.new"
        beside.write_text(json.dumps(dict(endpoints), indent=2) + "\n", encoding="utf-8")
        beside.replace(self.run / "endpoints.json")

    def forget(self) -> None:
        """Nothing listens any more; where the chains did is remembered for the next start."""
        told = self.told()
        self.tell({f"last_{name}": told[name] for name in _CHAINS.values() if name in told})

    def told(self) -> dict[str, str]:
        """Where things listen, or did when they were killed."""
        try:
            stored = json.loads((self.run / "endpoints.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(name): str(value) for name, value in stored.items()} if isinstance(stored, dict) else {}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    def completed(self, settings: Settings) -> Settings:
        """The settings, with the database and the chains of what runs in this folder for those that are not given."""
        told = self.told()
        found: dict[str, object] = {}
        if settings.deployment_id is None and settings.database_url is None:
            found["deployment_id"] = self.deployment_id()
        if settings.database_url is None and "database" in told:
            found["database_url"] = SecretStr(told["database"])
        missing = {network: name for network, name in _CHAINS.items() if settings.rpc_url(network) is None and name in told}
        if missing:
            found["rpc_urls"] = {**settings.rpc_urls, **{network: SecretStr(told[name]) for network, name in missing.items()}}
        return settings.model_copy(update=found) if found else settings


def refuse_used_port(host: str, port: int, option: str) -> None:
    """`StartError` unless this host and port can be listened on."""
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StartError(
                    f"port {port} on {host} is in use by another program",
                    f"stop that one (`ss -ltnp` names it), or choose another {option}",
                ) from error
            raise StartError(
                f"can't listen on {host} port {port}: {error.strerror}", f"choose another --host or {option}"
            ) from error


def free_port(host: str, preferred: int, *, tries: int = 50) -> int:
    """`preferred`, or the next free one after it."""
    for port in range(preferred, preferred + tries):
        try:
            refuse_used_port(host, port, "port")
        except StartError:
            continue
        return port
    message = f"ports {preferred} to {preferred + tries - 1} on {host} are all in use"
    raise StartError(message, "stop what uses one of them")
