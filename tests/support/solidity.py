"""Contracts that only tests use, compiled from `contracts/test/support` with the compiler of the contracts."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CONTRACTS = Path(__file__).parents[2] / "contracts"
_IMPORT = re.compile(r'import [^;]*?"([^"]+)";')


@dataclass(frozen=True, slots=True)
class Compiled:
    """A contract's creation code, without the arguments of its constructor."""

    creation_code: bytes


@cache
def compiled(file: str) -> dict[str, Compiled]:
    """The contracts of a file, by name; a second or two for the first time."""
    sources: dict[str, dict[str, str]] = {}
    _collect(f"test/support/{file}", sources)
    asked = {
        "language": "Solidity",
        "sources": sources,
        "settings": {"evmVersion": "cancun", "outputSelection": {"*": {"*": ["evm.bytecode.object"]}}},
    }
    answer = subprocess.run(
        ["node", "./solc", "--standard-json"], cwd=CONTRACTS, input=json.dumps(asked), capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    built = json.loads(answer.stdout)
    assert "contracts" in built, built["errors"]
    return {
        name: Compiled(bytes.fromhex(contract["evm"]["bytecode"]["object"]))
        for name, contract in built["contracts"][f"test/support/{file}"].items()
    }


def _collect(path: str, sources: dict[str, dict[str, str]]) -> None:
    """A source and all that it imports, by the names under which the compiler asks for them."""
    if path in sources:
        return
    place = CONTRACTS / "node_modules" / path if path.startswith("@") else CONTRACTS / path
    text = place.read_text(encoding="utf-8")
    sources[path] = {"content": text}
    for imported in _IMPORT.findall(text):
        _collect(_resolved(path, imported), sources)


def _resolved(importer: str, imported: str) -> str:
    if not imported.startswith("."):
        return imported
    parts = importer.split("/")[:-1]
    for part in imported.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
