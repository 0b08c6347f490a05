"""Checks of the repository's texts that no linter makes.

A file is at most 400 lines long; nothing is left to do later in code; the lock file holds hashes, no addresses, and every
package that pyproject.toml names; docs/errors.md, docs/settings.md and docs/rules.md are what code and tests say; the files that
docs/architecture.md names exist.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE = 400
_PATH = re.compile(r"(?:[\w.-]+/)*[\w.*-]+\.(?:py|md|sol|js|mjs|toml|json)|(?:[\w.-]+/)+")
_LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")


def tracked(*patterns: str) -> list[Path]:
    """The repository's own files, those not yet added among them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    found = [ROOT / line for line in listed.stdout.splitlines()]
    # Outside a checkout (an unpacked archive) the folders tell.
    return [path for path in found if path.is_file()] or [path for pattern in patterns for path in ROOT.rglob(pattern)]


def long_files() -> Iterator[str]:
    """Source files that want splitting by use case."""
    for path in tracked("*.py", "*.sol", "*.js", "*.mjs"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_FILE:
            yield f"{path.relative_to(ROOT)}: {lines} lines, {LONGEST_FILE} are the most"


def left_for_later() -> Iterator[str]:
    """What would be done another day is done, or is an issue."""
    for path in tracked("src/*.py", "tools/*.py", "contracts/src/*.sol", "sdk/*.js"):
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if (match := _LATER.search(line)) is not None:
                yield f"{path.relative_to(ROOT)}:{number}: {match[0]}"


def lock_file() -> Iterator[str]:
    """requirements.lock fits pyproject.toml: `make lock` writes it anew."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    if re.search(r"https?://|^--", lock, re.MULTILINE):
        yield "requirements.lock: names an address or an index"
    locked = set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))
    entries = re.split(r"^(?=[a-z0-9.-]+==)", lock, flags=re.MULTILINE)[1:]
    yield from (f"requirements.lock: {entry.split()[0]} has no hash" for entry in entries if "--hash=sha256:" not in entry)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name is not None and re.sub(r"[._-]+", "-", name[0]).lower() not in locked:
            yield f"requirements.lock: {requirement} is missing; run `make lock`"


def generated_pages() -> Iterator[str]:
    """The generated pages are what `tools/generated_docs.py` writes, and every rule has a test."""
    result = subprocess.run(
        [sys.executable, "tools/generated_docs.py", "--check"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if result.returncode != 0:
        yield (result.stdout + result.stderr).strip()


def missing_paths(text: str, root: Path) -> Iterator[str]:
    """Paths in backticks that are neither below `root` nor in the package; a bare name may be in any folder of the package."""
    package = root / "src" / "guerdon"
    for named in dict.fromkeys(re.findall(r"`([^`\n]+)`", text)):
        if _PATH.fullmatch(named) is None:
            continue
        places = [root.glob(named), package.glob(named), package.glob(f"*/{named}") if "/" not in named else ()]
        if not any(found for place in places for found in place):
            yield named


def architecture() -> Iterator[str]:
    """Whoever looks for a step of the flow finds it where docs/architecture.md says."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    yield from (f"docs/architecture.md: there is no {named}" for named in missing_paths(text, ROOT))


def main() -> int:
    """Run all; 1 if there is a finding."""
    findings = [*long_files(), *left_for_later(), *lock_file(), *generated_pages(), *architecture()]
    for finding in findings:
        print(finding)
    print(f"texts: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
