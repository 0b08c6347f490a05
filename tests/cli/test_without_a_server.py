"""Commands on a data directory where nothing runs: its database is started for as long as the command takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from guerdon.cli.commands import EMBEDDED

GUERDON = Path(sys.executable).parent / "guerdon"


def run(data_dir: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(data_dir.parent)}
    words = [str(GUERDON), *arguments, "--data-dir", str(data_dir)]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=110, check=False, cwd=data_dir.parent)
    assert ended.returncode == code, ended.stderr
    return ended


def test_what_one_command_did_the_next_one_finds(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    (data_dir / EMBEDDED).mkdir(parents=True)
    made = json.loads(run(data_dir, "admin-key", "create", "--platform", "--name", "me", "--json").stdout)
    listed = json.loads(run(data_dir, "admin-key", "list", "--json").stdout)
    assert [key["id"] for key in listed] == [made["id"]]
    refused = run(data_dir, "program", "create", "--name", "Acme", code=1)
    assert refused.stderr.startswith("error: No asset is called LTZ")
    # Nothing is left running, and the key that secrets are under is the owner's alone.
    assert not (data_dir / EMBEDDED / "data" / "postmaster.pid").exists()
    assert (data_dir / "secret.key").stat().st_mode & 0o077 == 0
