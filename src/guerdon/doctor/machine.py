"""What the machine has to have: programs, space, and files that only their owner reads."""

from __future__ import annotations

import os
import platform
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from guerdon.doctor.findings import Finding, mend, note, ok
from guerdon.settings import Settings

AREA = "machine"
_PYTHON = (3, 11)
_NODE = 20
_GIB = 1 << 30
_LOW_SPACE = 2 * _GIB
_NO_SPACE = _GIB // 4


def look(settings: Settings) -> list[Finding]:
    """Everything about this machine."""
    return [_python(), _node(), _space(settings.data_dir), *_secrets(settings)]


def _python() -> Finding:
    if sys.version_info < _PYTHON:
        return mend(
            AREA, "Python", f"this is {platform.python_version()}", "install Python 3.11 or newer and run `make setup` again"
        )
    return ok(AREA, "Python", platform.python_version())


def _node() -> Finding:
    node = shutil.which("node")
    remedy = f"install Node {_NODE} or newer: the local chain and the contract tools come by npm"
    if node is None:
        return mend(AREA, "Node", "there is no `node`", remedy)
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout.strip()
    match = re.match(r"v(\d+)\.", said)
    if match is None or int(match[1]) < _NODE:
        return mend(AREA, "Node", f"this is {said or 'of unknown version'}", remedy)
    return ok(AREA, "Node", said)


def _space(data_dir: Path) -> Finding:
    folder = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / _GIB:.1f} GiB free at {folder}"
    remedy = f"make room on the disk of {folder}, or choose another --data-dir"
    if free < _NO_SPACE:
        return mend(AREA, "disk space", text, remedy)
    return note(AREA, "disk space", text, remedy) if free < _LOW_SPACE else ok(AREA, "disk space", text)


def _secrets(settings: Settings) -> list[Finding]:
    if not settings.data_dir.exists():
        return [note(AREA, "data directory", f"{settings.data_dir} is not there yet", "`guerdon up` makes it")]
    findings = [ok(AREA, "data directory", str(settings.data_dir))]
    if not os.access(settings.data_dir, os.W_OK | os.X_OK):
        findings = [
            mend(
                AREA, "data directory", f"{settings.data_dir} can't be written", "run as its owner, or choose another --data-dir"
            )
        ]
    key = settings.secret_key_file or settings.data_dir / "secret.key"
    if settings.secret_key is not None:
        return [*findings, ok(AREA, "secret key", "from GUERDON_SECRET_KEY")]
    if not key.exists():
        given = settings.secret_key_file is not None
        make = note(AREA, "secret key", f"{key} is not there yet", "it is made at the first start")
        return [
            *findings,
            mend(AREA, "secret key", f"{key} is not there", "give back the file that GUERDON_SECRET_KEY_FILE names")
            if given
            else make,
        ]
    if stat.S_IMODE(key.stat().st_mode) & 0o077:
        return [*findings, mend(AREA, "secret key", f"{key} may be read by others", f"chmod 600 {key}")]
    return [*findings, ok(AREA, "secret key", str(key))]
