"""Make the virtual environment and install exactly what requirements.lock names.

Runs on the system's Python with nothing installed. uv comes by pip with a pinned hash, because it installs in seconds what
takes pip a minute; where uv cannot reach the package index (an index that only pip's configuration names, say), pip does it.
"""

import hashlib
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
INSTALLER_LOCK = ROOT / "requirements-bootstrap.lock"
MINIMUM_PYTHON = (3, 11)


def run(*command: str | Path) -> bool:
    """Run a command inside the repository; its output is shown only by the command itself."""
    return subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode == 0


def have_pip(python: Path) -> bool:
    """Bring pip back into the environment, which a sync to the lock file removes."""
    if any((python.parent.parent / "lib").glob("python*/site-packages/pip")):
        return True
    return run(python, "-c", "import ensurepip; ensurepip.bootstrap(default_pip=True, verbosity=-1)")


def main() -> int:
    """Install into the folder given as the first argument; `--only-installer` stops once uv is there."""
    if sys.version_info < MINIMUM_PYTHON:
        print(f"Guerdon needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 ...")
        return 1
    started = time.monotonic()
    target = ROOT / sys.argv[1]
    python = target / "bin" / "python"
    # Locked installs need none of these, and each could smuggle in another set of packages.
    os.environ.pop("PYTHONPATH", None)
    os.environ["VIRTUAL_ENV"] = str(target)
    os.environ["UV_PYTHON_DOWNLOADS"] = "never"
    if not python.exists():
        print(f"setup: creating {target.name}", flush=True)
        venv.create(target, with_pip=True, symlinks=True, clear=target.exists())

    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--require-hashes")
    uv = target / "bin" / "uv"
    installer_digest = hashlib.sha256(INSTALLER_LOCK.read_bytes()).hexdigest()
    stamp = target / ".installer"
    if not uv.exists() or not stamp.exists() or stamp.read_text() != installer_digest:
        if not have_pip(python) or not run(*pip, "-r", INSTALLER_LOCK):
            print("setup: the installer could not be fetched; is a package index reachable?")
            return 1
        stamp.write_text(installer_digest)
    if "--only-installer" in sys.argv:
        return 0

    print("setup: installing the locked dependencies", flush=True)
    # Compiled once, here: tests, demo and `guerdon up` start many processes.
    sync = ("sync", "--quiet", "--require-hashes", "--compile-bytecode")
    synced = run(uv, "pip", *sync, "--python", python, LOCK, INSTALLER_LOCK)
    if not synced:
        print("setup: trying again with pip", flush=True)
        if not have_pip(python) or not run(*pip, "-r", LOCK):
            return 1
    # hatchling and editables are locked above, so that building the project's own wheel downloads nothing.
    if not run(uv, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--offline", "--python", python, "-e", ROOT):
        return 1
    print(f"setup: done in {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
