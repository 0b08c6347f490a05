"""`guerdon up` and its roles as a user meets them: ports that are taken, an ordinary user, long paths, an impatient Ctrl-C."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.services import free_port
from tests.system.house import GUERDON, ROOT, House, until

pytestmark = pytest.mark.slow


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GUERDON_", "DATABASE_", "REDIS_"))}
    return subprocess.run(
        [*GUERDON, *arguments], capture_output=True, text=True, check=False, timeout=60, env={**kept, **environment}, cwd="/"
    )


def test_a_port_in_use_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("up", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert f"error: port {port} on 127.0.0.1 is in use by another program" in done.stdout
    assert "what to do: stop that one" in done.stdout
    assert not (tmp_path / "data" / "postgres").exists()


@pytest.mark.parametrize("role", ["web", "worker"])
def test_a_role_without_a_database_says_what_to_do(tmp_path: Path, role: str) -> None:
    done = run(role, "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "error: no database is given" in done.stderr
    assert "set DATABASE_URL, or start everything on this machine with `guerdon up`" in done.stderr


def test_a_web_on_the_port_of_another_says_so(house: House) -> None:
    done = run("web", "--port", str(house.port), "--data-dir", str(house.data_dir))
    assert done.returncode == 1
    assert "is in use by another program" in done.stderr


def test_doctor_finds_nothing_to_mend_while_everything_runs(house: House) -> None:
    report = house.cli("doctor")
    assert [finding for finding in report["findings"] if finding["verdict"] == "mend"] == []
    assert report["ok"] is True
    assert {"machine", "database", "installation", "chains"} == {finding["area"] for finding in report["findings"]}


def test_s21_doctor_tells_the_chain_of_another_data_directory(house: House, tmp_path: Path) -> None:
    other = House(tmp_path / "other")
    tmp_path.chmod(0o711)
    try:
        other.start()
        done = run("doctor", "--json", "--data-dir", str(house.data_dir), GUERDON_RPC_LOCAL=other.rpc)
        # Ctrl-C twice does not wait for anything.
        assert other.process is not None
        began = time.monotonic()
        other.process.send_signal(signal.SIGINT)
        other.process.send_signal(signal.SIGINT)
        other.process.wait(timeout=15)
        assert time.monotonic() - began < 15
        # Nor is a chain taken that is not the database's, as after restoring only one of the two.
        (other.data_dir / "chain").rename(tmp_path / "elsewhere")
        with pytest.raises(AssertionError, match="it is another one with the same id"):
            other.start()
        assert "what to do: the database and the chain of a data directory belong together" in other.said()
    finally:
        other.close()
    assert done.returncode == 1
    broken = [finding for finding in json.loads(done.stdout)["findings"] if finding["verdict"] == "mend"]
    assert [finding["check"] for finding in broken] == ["local"]
    assert "different data directories" in broken[0]["remedy"]


def test_an_ordinary_user_may_run_it_in_a_long_path_with_spaces() -> None:
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    python = _python_for(user)
    folder = Path(tempfile.mkdtemp(prefix="guerdon-user-"))
    try:
        os.chown(folder, user.pw_uid, user.pw_gid)
        data_dir = folder / ("long " * 12) / ("är " * 10)
        environment = {
            "PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": f"{ROOT / 'src'}:{sysconfig.get_path('purelib')}",
            "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        with (folder / "out").open("wb") as output:
            process = subprocess.Popen(
                [python, "-m", "guerdon", "up", "--port", str(free_port()), "--data-dir", str(data_dir)],
                cwd=folder, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                **({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}),
            )  # fmt: skip
        said = lambda: (folder / "out").read_text(errors="replace")  # noqa: E731
        try:
            until(lambda: "running; Ctrl-C" in said() or process.poll() is not None, 90, said)
            assert process.poll() is None, said()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
        owners = {path.stat().st_uid for path in data_dir.rglob("*")}
        assert owners == {user.pw_uid}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _python_for(user: pwd.struct_passwd) -> str:
    """A Python that this user may run with what is installed here."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        probe = subprocess.run(
            [python, "-c", "import guerdon.app"], capture_output=True, check=False, cwd="/",
            env={"PYTHONPATH": f"{ROOT / 'src'}:{sysconfig.get_path('purelib')}", "PYTHONDONTWRITEBYTECODE": "1"},
            **({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}),
        ) if Path(python).exists() and _may_run(python, user) else None  # fmt: skip
        if probe is not None and probe.returncode == 0:
            return python
    # Not `missing`: a machine whose Python lies in root's home can't have one.
    pytest.skip(f"user {user.pw_name} may run no Python with the installed packages")


def _may_run(python: str, user: pwd.struct_passwd) -> bool:
    try:
        subprocess.run(
            [python, "-c", ""], check=True, capture_output=True, cwd="/",
            **({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}),
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
