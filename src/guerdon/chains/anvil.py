"""The local EVM network: anvil as a child process that keeps its chain over restarts and kills (SAFETY S24, S27).

Blocks are made by this side, every two seconds while anything happens: anvil's own timer would keep 1,500 whole states in memory.
What is in the folder, and how a torn state is survived, is in `anvil_files.py`.

After a clean stop nothing is lost. After SIGKILL of everything at once the chain goes on from a state that is at most about two
seconds old: blocks that were not final may be missing, and transactions in the pool are. Whoever sent them sends them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any, Final, Self

import msgspec

from guerdon.chains.anvil_files import ChainFolder, Funder, Identity, new_identity
from guerdon.chains.anvil_process import LocalChainError, die_with_parent, find_anvil, free_port, is_free, stop_leftover
from guerdon.chains.evm import EvmClient
from guerdon.chains.networks import LOCAL_CHAIN_ID
from guerdon.chains.port import ChainUnavailableError, RpcError

FUNDS_WEI: Final = 10**27
"""What the funder has: a thousand million coins."""
_HARDFORK: Final = "osaka"
_STATES_KEPT: Final = 64
"""Blocks back from the head at which balances and calls can be asked."""
_BLOCKS_TO_FINALITY: Final = 2
_START_SECONDS: Final = 60
_STRANGER_SECONDS: Final = 3
_STOP_SECONDS: Final = 30
_POLL_SECONDS: Final = 0.05
_KEEP_SECONDS: Final = 0.25
_PORT_TRIES: Final = 5
_TAIL_BYTES: Final = 2_000
_LARGEST_LOG_BYTES: Final = 20_000_000


__all__ = ["LocalChain", "LocalChainError", "find_anvil"]


class LocalChain:
    """One local chain in one folder; at most one process may use it at a time."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        anvil: Path | None = None,
        chain_id: int = LOCAL_CHAIN_ID,
        block_seconds: float = 2,
        idle_after_seconds: float = 60,
        idle_block_seconds: float = 10,
    ) -> None:
        """With port 0 any free one is taken. After `idle_after_seconds` without transactions blocks are `idle_block_seconds`
        apart, so that an idle chain does not fill the disk. Blocks of less than a second are for tests: then a kill can lose
        final ones.
        """
        self._folder = ChainFolder(folder)
        self._wanted_port = port
        self._port = port
        self._anvil = anvil
        self._chain_id = chain_id
        self._block_seconds = block_seconds
        self._idle_after = max(1, round(idle_after_seconds / block_seconds))
        self._idle_every = max(1, round(idle_block_seconds / block_seconds))
        self._process: asyncio.subprocess.Process | None = None
        self._client: EvmClient | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Where it answers JSON-RPC."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens, once it is started."""
        return self._port

    @property
    def pid(self) -> int | None:
        """Of anvil, while it runs."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def log(self) -> Path:
        """What anvil says."""
        return self._folder.log

    @property
    def funder(self) -> Funder:
        """Who has the native coin in the beginning; its key never leaves this machine."""
        return self._folder.funder()

    async def start(self) -> Identity:
        """Start or go on with the folder's chain; return once it answers. Raises `LocalChainError`."""
        self._folder.make()
        leftover = self._folder.pid()
        if leftover is not None:
            await stop_leftover(leftover, str(self._folder.state), _STOP_SECONDS)
            self._folder.forget_pid()
        known = await self._prepare()
        try:
            planned = known or new_identity(self._chain_id)
            await self._launch(planned)
            identity = await self._begin(planned) if known is None else await self._go_on(known)
            self._run()
        except ChainUnavailableError as error:
            await self.stop()
            raise LocalChainError(f"the local chain does not answer ({error})", f"its log is {self.log}") from error
        except BaseException:
            await self.stop()
            raise
        return identity

    async def wait(self) -> str:
        """Until it ends by itself or is stopped; how it ended, in words."""
        if self._process is None:
            return "was never started"
        code = await self._process.wait()
        return f"ended with code {code}" if code >= 0 else f"was ended by signal {-code}"

    async def stop(self) -> None:
        """Stop it cleanly: its last state is written."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                self.kill()
                await process.wait()
        self._folder.forget_pid()

    def kill(self) -> None:
        """End it at once, as a power cut would; `stop` afterwards tidies up."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def mine(self, blocks: int = 1) -> None:
        """Make blocks now, beside those of the timer; for tests and for going on after a restart."""
        await self._ask([("evm_mine", ())] * blocks)

    # ---- starting -------------------------------------------------------------------------------------------------

    async def _prepare(self) -> Identity | None:
        try:
            identity = self._folder.identity()
        except ValueError as error:
            raise LocalChainError(str(error), "give the file back, or choose another data directory") from error
        if identity is None:
            # Nobody has seen what an unfinished first start left.
            self._folder.forget_state()
            return None
        if identity.chain_id != self._chain_id:
            problem = f"the chain in {self._folder.path} has id {identity.chain_id}, not {self._chain_id}"
            raise LocalChainError(problem, "choose another data directory")
        if await asyncio.to_thread(self._folder.restore_state) is None:
            what = "is damaged" if self._folder.has_state() else "is gone"
            raise LocalChainError(
                f"the state of the chain in {self._folder.path} {what}",
                "give it back from a copy; a new chain would not have what the database knows of this one",
            )
        return identity

    async def _launch(self, identity: Identity) -> None:
        binary = find_anvil(self._anvil)
        for attempt in range(_PORT_TRIES):
            self._port = self._wanted_port or free_port()
            if not is_free(self._port):
                raise LocalChainError(f"port {self._port} is in use", "stop what listens there, or choose another port")
            said_before = self._log_size()
            await self._spawn(binary, identity)
            self._client = EvmClient(self.url, timeout_s=30)
            if await self._until_it_answers(identity):
                return
            await self._client.aclose()
            said = self._last_words(said_before)
            if "already in use" in said and attempt < _PORT_TRIES - 1:
                continue  # somebody took the port a moment ago
            raise LocalChainError(f"anvil did not start: {said or 'it said nothing'}", f"its log is {self.log}")

    async def _spawn(self, binary: Path, identity: Identity) -> None:
        if self._log_size() > _LARGEST_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        arguments = [
            "--host", "127.0.0.1", "--port", str(self._port), "--no-cors", "--quiet", "--accounts", "0",
            "--chain-id", str(self._chain_id), "--slots-in-an-epoch", "1",
            "--no-mining", "--prune-history", str(_STATES_KEPT), "--state", str(self._folder.state), "--state-interval", "1",
            # anvil first makes a block 0 and then reads that of the state. Were they not the same, it would write both.
            "--hardfork", _HARDFORK, "--timestamp", str(identity.genesis_timestamp), "--gas-limit", str(identity.gas_limit),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(binary),
                *arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for whoever started us, who then stops everything in order.
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self._folder.write_pid(self._process.pid)

    async def _until_it_answers(self, identity: Identity) -> bool:
        """False if it ended instead. What answers at the port may be a stranger's: then ours is about to end."""
        process = self._process
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _START_SECONDS
        while process is not None and process.returncode is None and loop.time() < deadline:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.close()
                if await self._is(identity):
                    return True
                deadline = min(deadline, loop.time() + _STRANGER_SECONDS)
            await asyncio.sleep(_POLL_SECONDS)
        return process is not None and process.returncode is None

    async def _is(self, identity: Identity) -> bool:
        with contextlib.suppress(ChainUnavailableError, RpcError):
            (block,) = await self._ask([("eth_getBlockByNumber", ("0x0", False))])
            found = (int(block["timestamp"], 16), int(block["gasLimit"], 16))
            return found == (identity.genesis_timestamp, identity.gas_limit)
        return False

    async def _begin(self, planned: Identity) -> Identity:
        if not await self._is(planned):
            raise LocalChainError(
                f"another chain answers at port {self._port}", "stop what listens there, or choose another port"
            )
        await self._settle()
        identity = msgspec.structs.replace(planned, genesis_hash=await self._open_client().genesis_hash())
        # The chain exists from the moment that a state of it is safe; killed before, the next start begins anew.
        await self._until(self._folder.keep_state)
        await asyncio.to_thread(self._folder.write_identity, identity)
        return identity

    async def _go_on(self, identity: Identity) -> Identity:
        genesis = await self._open_client().genesis_hash()
        if genesis != identity.genesis_hash:
            raise LocalChainError(
                f"the chain in {self._folder.path} begins with block {genesis}, not {identity.genesis_hash}",
                "give its files back together from one copy",
            )
        await self._settle()
        # anvil knows no state before its start: two blocks later the finalized one is there again.
        await self.mine(_BLOCKS_TO_FINALITY)
        return identity

    async def _settle(self) -> None:
        # The first block's time was given as the clock's; this puts the clock right.
        await self._ask([("evm_setTime", (int(time()),))])
        address = self.funder.address
        if await self._open_client().balance(address, "latest") < FUNDS_WEI // 2:
            await self._ask([("anvil_setBalance", (address, hex(FUNDS_WEI)))])

    async def _until(self, done: Callable[[], bool]) -> None:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while not done():
            if asyncio.get_running_loop().time() > deadline:
                raise LocalChainError("anvil does not write its state", f"is the disk full? Its log is {self.log}")
            await asyncio.sleep(_KEEP_SECONDS)

    # ---- running --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._tasks = [asyncio.create_task(self._make_blocks()), asyncio.create_task(self._keep_states())]

    async def _make_blocks(self) -> None:
        loop = asyncio.get_running_loop()
        due, empty, skipped = loop.time() + self._block_seconds, 0, 0
        while True:
            await asyncio.sleep(max(0, due - loop.time()))
            # After a stall (a suspended laptop) blocks are not caught up on.
            due = max(due + self._block_seconds, loop.time())
            with contextlib.suppress(ChainUnavailableError, RpcError):
                if empty >= self._idle_after and skipped < self._idle_every - 1 and not await self.has_waiting():
                    skipped += 1
                    continue
                skipped = 0
                # One after the other: the calls of a batch are answered in any order.
                await self.mine()
                (block,) = await self._ask([("eth_getBlockByNumber", ("latest", False))])
                empty = 0 if block["transactions"] else empty + 1

    async def has_waiting(self) -> bool:
        """Are there transactions that no block has yet?"""
        (status,) = await self._ask([("txpool_status", ())])
        return any(int(number, 16) for number in status.values())

    async def _keep_states(self) -> None:
        while True:
            self._folder.keep_state()
            await asyncio.sleep(_KEEP_SECONDS)

    async def _ask(self, calls: list[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        answers = await self._open_client().batch(calls)
        for answer in answers:
            if isinstance(answer, RpcError):
                raise answer
        return answers

    def _open_client(self) -> EvmClient:
        if self._client is None:
            raise LocalChainError("the local chain is not running", "start it first")
        return self._client

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _last_words(self, offset: int) -> str:
        with self.log.open("rb") as file:
            file.seek(offset)
            return file.read()[-_TAIL_BYTES:].decode(errors="replace").strip()
