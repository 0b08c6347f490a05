"""Every static check, one after the other; all of them run, and the last lines say which failed (`make check`)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CONTRACTS = ROOT / "contracts"

CHECKS: dict[str, list[str]] = {
    "lint": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [str(BIN / "basedpyright")],
    "imports": [str(BIN / "lint-imports"), "--no-logo"],
    "dependencies": [str(BIN / "deptry"), "."],
    "scoped queries": [sys.executable, "tools/check_scoped_queries.py"],
    "texts": [sys.executable, "tools/check_texts.py"],
    "contracts": ["npm", "run", "--silent", "check", "--prefix", str(CONTRACTS)],
}


def main(names: list[str]) -> int:
    """Run the checks named, or all; 1 if one fails."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f"no such check: {', '.join(unknown)}; there are: {', '.join(CHECKS)}")
        return 2
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    results: dict[str, tuple[bool, float]] = {}
    for name in names or CHECKS:
        print(f"── {name}", flush=True)
        started = time.monotonic()
        passed = subprocess.run(CHECKS[name], cwd=ROOT, env=environment, check=False).returncode == 0
        results[name] = (passed, time.monotonic() - started)
    print("──")
    for name, (passed, seconds) in results.items():
        print(f"{'ok    ' if passed else 'FAILED'} {name} ({seconds:.1f} s)")
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
