"""A local chain that mines when it is told to, so that a test decides what is in which block."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account
from eth_utils.address import to_checksum_address

from guerdon.chains.anvil_process import die_with_parent
from tests.support.services import free_port, missing

CHAIN_ID = 31337
FAUCET = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
"""The first of the node's own, funded and unlocked accounts."""
_BINARIES = Path(__file__).parents[2] / "contracts" / "node_modules" / "@foundry-rs"
GWEI = 10**9


def binary() -> Path:
    """The node itself: the package's launcher would survive a kill of what it launched."""
    found = sorted(_BINARIES.glob("anvil-*/bin/anvil"))
    if not found:
        missing("anvil (make setup)")
    return found[0]


@dataclass
class Node:
    """A running anvil. Finalized is two blocks behind."""

    port: int
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    _client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=10))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, *more: str) -> None:
        """Start it, and wait until it answers."""
        chain = [] if "--chain-id" in self.arguments else ["--chain-id", str(CHAIN_ID)]
        options = ["--port", str(self.port), *chain, "--slots-in-an-epoch", "1", "--quiet", *self.arguments, *more]
        self.process = subprocess.Popen(
            [binary(), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock
        )
        for _ in range(200):
            with suppress(httpx.HTTPError):
                await self.rpc("eth_chainId")
                return
            await asyncio.sleep(0.02)
        message = "anvil did not start"
        raise AssertionError(message)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def state(self) -> bytes:
        """The chain as it is now, as the node writes it to its file."""
        return gzip.decompress(bytes.fromhex(str(await self.rpc("anvil_dumpState")).removeprefix("0x")))

    async def restart_from(self, state: bytes) -> None:
        """Kill it, and start it with what it had written some time ago: later blocks, the pool and old state are lost.

        A chain that is restarted more than once begins with `--timestamp`: else its first block is another one each time.
        """
        self.kill()
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(state)
            file.flush()
            await self.start("--load-state", file.name)

    async def close(self) -> None:
        self.kill()
        await self._client.aclose()

    async def rpc(self, method: str, *params: Any) -> Any:
        answer = (await self._client.post(self.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).json()
        if "error" in answer:
            message = f"{method}: {answer['error']}"
            raise AssertionError(message)
        return answer["result"]

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.rpc("evm_mine")

    @asynccontextmanager
    async def mining(self, seconds: float = 0.15) -> AsyncIterator[None]:
        """Blocks come by themselves inside."""

        async def forever() -> None:
            while True:
                with suppress(httpx.HTTPError):
                    await self.rpc("evm_mine")
                await asyncio.sleep(seconds)

        task = asyncio.create_task(forever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def height(self) -> int:
        return int(await self.rpc("eth_blockNumber"), 16)

    async def fund(self, address: str, wei: int = 10**18) -> None:
        await self.rpc("anvil_setBalance", address, hex(wei))

    async def nonce(self, address: str) -> int:
        return int(await self.rpc("eth_getTransactionCount", address, "latest"), 16)

    async def balance(self, address: str) -> int:
        return int(await self.rpc("eth_getBalance", address, "latest"), 16)

    async def pool(self) -> list[str]:
        """Hashes of the transactions that wait for a block."""
        content = await self.rpc("txpool_content")
        return [
            transaction["hash"]
            for kind in ("pending", "queued")
            for by_nonce in content[kind].values()
            for transaction in by_nonce.values()
        ]

    async def sent_by(self, address: str) -> list[dict[str, Any]]:
        """Every transaction of an address, in the chain's order."""
        found: list[dict[str, Any]] = []
        for number in range(await self.height() + 1):
            block = await self.rpc("eth_getBlockByNumber", hex(number), True)
            found.extend(one for one in block["transactions"] if one["from"].lower() == address.lower())
        return found

    async def send_from_outside(  # a wallet that has the same key
        self,
        private_key: str,
        *,
        nonce: int,
        to: str | None,
        value: int = 1,
        data: str = "0x",
        gas: int = 100_000,
        fee: int = 50 * GWEI,
    ) -> str:
        transaction: dict[str, Any] = {
            "type": 2, "chainId": CHAIN_ID, "nonce": nonce, "value": value, "gas": gas, "data": data,
            "maxFeePerGas": fee, "maxPriorityFeePerGas": fee,
        }  # fmt: skip
        signed = Account.sign_transaction(
            transaction if to is None else {**transaction, "to": to_checksum_address(to)}, private_key
        )
        return await self.rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())


@asynccontextmanager
async def running_node(*arguments: str) -> AsyncIterator[Node]:
    """A new chain for one test; without arguments it mines only when told to."""
    node = Node(free_port(), arguments or ("--no-mining",))
    try:
        await node.start()
        yield node
    finally:
        await node.close()
