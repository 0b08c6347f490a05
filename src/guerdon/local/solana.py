"""The process of the local Solana: `python -m guerdon.local.solana --folder DIR --port 8899`. It runs until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from guerdon.chains.anvil_process import LocalChainError
from guerdon.chains.localsolana.chain import LocalSolana
from guerdon.chains.localsolana.server import serving
from guerdon.kit.clock import rest
from guerdon.kit.logging import configure_logging
from guerdon.local.readiness import announce_ready

_LOOK_SECONDS = 1.0


def main() -> int:
    """Serve one chain; the exit code."""
    parser = argparse.ArgumentParser(prog="guerdon.local.solana", description="A local Solana for development and tests.")
    parser.add_argument("--folder", type=Path, required=True, help="where the chain is kept")
    parser.add_argument("--port", type=int, default=8899, help="the port of this machine to listen on")
    parser.add_argument("--slot-ms", type=int, default=400, help="how long a slot takes")
    given = parser.parse_args()
    configure_logging("INFO", "console")
    try:
        asyncio.run(_serve(given.folder, given.port, given.slot_ms))
    except LocalChainError as error:
        sys.stderr.write(f"{error.problem}: {error.remedy}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"can't listen on port {given.port}: {error.strerror}\n")
        return 1
    return 0


async def _serve(folder: Path, port: int, slot_ms: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with LocalSolana(folder, slot_ms=slot_ms) as chain:
        async with serving(chain, port):
            announce_ready()
            while not stop.is_set():
                if chain.is_broken:
                    raise LocalChainError(f"the Solana in {folder} can't write", "is the disk full?")
                await rest(_LOOK_SECONDS, stop)


if __name__ == "__main__":
    sys.exit(main())
