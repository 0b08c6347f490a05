"""What the local chain keeps in its folder: its identity, its funder's key, and good copies of its state. Files only.

anvil writes its state in place, so that a kill in the middle of writing leaves half a file (SAFETY S27). Every whole one is
therefore set aside by renaming, which costs nothing; anvil then writes a new file, and the next start takes the newest whole one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Final

import msgspec

from guerdon.chains.signing import address_of

_GAS_LIMIT: Final = 60_000_000
_GAS_LIMIT_SPREAD: Final = 1_000_000
_KEY_BYTES: Final = 32


class Identity(msgspec.Struct, frozen=True):
    """What tells this chain from any other local one."""

    chain_id: int
    genesis_hash: str
    """Empty until the chain was started once."""
    genesis_timestamp: int
    """Unix seconds."""
    gas_limit: int
    """Of a block. Each chain has its own, which makes its first block unique even if two are made in one second."""


@dataclass(frozen=True, slots=True)
class Funder:
    """Who has the native coin in the beginning."""

    address: str
    private_key: bytes


class _State(msgspec.Struct):
    best_block_number: int | str


def new_identity(chain_id: int) -> Identity:
    """What a new chain is to begin with."""
    return Identity(chain_id, "", int(time()), _GAS_LIMIT + secrets.randbelow(_GAS_LIMIT_SPREAD))


class ChainFolder:
    """Names for what is in the folder, and the few things done with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / "state.json"
        """What anvil reads at its start and writes every second; whole or not."""
        self.log = path / "anvil.log"
        self._pid = path / "anvil.pid"
        self._last = path / "state.last.json"
        self._before = path / "state.before.json"
        self._identity = path / "identity.json"
        self._funder = path / "funder.key"
        self._seen: tuple[int, int] | None = None

    def make(self) -> None:
        """Make the folder; only its owner may look into it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def identity(self) -> Identity | None:
        """The chain's identity; None if none was ever whole. Raises `ValueError` for a file that is not ours."""
        try:
            return msgspec.json.decode(self._identity.read_bytes(), type=Identity)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise ValueError(f"{self._identity} can't be read: {error}") from error

    def write_identity(self, identity: Identity) -> None:
        """From here on the chain exists: the next start goes on with it, or says why it can't."""
        _write(self._identity, msgspec.json.encode(identity))

    def funder(self) -> Funder:
        """The key that holds the native coin; made at random once, readable by its owner only."""
        if not self._funder.exists():
            _write(self._funder, secrets.token_bytes(_KEY_BYTES).hex().encode("ascii"))
        private_key = bytes.fromhex(self._funder.read_text(encoding="ascii").strip())
        return Funder(address_of(private_key), private_key)

    def write_pid(self, pid: int) -> None:
        """Note which process runs, for a start after a kill."""
        self._pid.write_text(str(pid), encoding="ascii")

    def pid(self) -> int | None:
        """The process that ran last and was not seen to end."""
        try:
            return int(self._pid.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def forget_pid(self) -> None:
        """Nothing runs any more."""
        self._pid.unlink(missing_ok=True)

    def keep_state(self) -> bool:
        """Set a whole state aside, if there is a new one. Call it several times a second.

        A file that is the same as at the last call and ends as it should is not being written.
        """
        try:
            stat = self.state.stat()
            seen, self._seen = self._seen, (stat.st_mtime_ns, stat.st_size)
            if seen != self._seen or not _ends_well(self.state, stat.st_size):
                return False
        except FileNotFoundError:
            return False
        if self._last.exists():
            self._last.replace(self._before)
        self.state.replace(self._last)
        self._seen = None
        return True

    def restore_state(self) -> int | None:
        """Make the newest whole state the one that anvil will read; its block number, None if there is none."""
        whole = [(number, place, path) for place, (path, number) in enumerate(self._whole_states())]
        if not whole:
            return None
        # Of two at one height the newer file comes first.
        number, _, best = max(whole, key=lambda found: (found[0], -found[1]))
        if best != self.state:
            # A copy: the good one stays where it is until anvil has written another.
            _write(self.state, best.read_bytes())
        return number

    def forget_state(self) -> None:
        """Remove what a first start left that was killed before the chain had its identity."""
        for path in (self.state, self._last, self._before):
            path.unlink(missing_ok=True)

    def has_state(self) -> bool:
        """Is there any state, whole or not?"""
        return any(path.exists() for path in (self.state, self._last, self._before))

    def _whole_states(self) -> Iterator[tuple[Path, int]]:
        for path in (self.state, self._last, self._before):
            try:
                found = msgspec.json.decode(path.read_bytes(), type=_State).best_block_number
                yield path, int(found, 16) if isinstance(found, str) else found
            except (FileNotFoundError, msgspec.MsgspecError, ValueError):
                continue


def _ends_well(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, size - 1))
        return file.read(1) == b"}"


def _write(path: Path, content: bytes) -> None:
    # Whole or not at all, and there after a power cut.
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
