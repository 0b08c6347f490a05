"""temporary"""

from __future__ import annotations
import asyncio, json, urllib.request
from pathlib import Path


class LocalChain:
    def __init__(self, directory: Path, *, port: int, block_seconds: float) -> None:
        self.directory = directory
        self.port = port
        self.block_seconds = block_seconds
        self.url = f"http://127.0.0.1:{port}"

    def command(self) -> tuple[str, ...]:
        b = sorted((Path(__file__).parents[3] / "contracts/node_modules/@foundry-rs").glob("anvil-*/bin/anvil"))[0]
        return (
            str(b),
            "--port",
            str(self.port),
            "--chain-id",
            "31337",
            "--state",
            str(self.directory / "state.json"),
            "--state-interval",
            "1",
            "--block-time",
            str(int(self.block_seconds)),
            "--slots-in-an-epoch",
            "1",
            "--quiet",
        )

    async def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)

    async def wait_until_ready(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._ask)
                return
            except OSError:
                await asyncio.sleep(0.05)

    def _ask(self):
        r = urllib.request.Request(
            self.url, b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}', {"Content-Type": "application/json"}
        )
        return json.load(urllib.request.urlopen(r, timeout=2))
