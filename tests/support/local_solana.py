"""A local Solana in a thread of its own, for whatever talks to it: over HTTP, as to any node."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from guerdon.chains.localsolana.chain import LocalSolana
from guerdon.chains.localsolana.server import serving

SLOT_MS = 20
"""Finality takes 0.64 s, a blockhash lives for 3 s."""
SOL = 10**9


class SolanaInThread:
    """A running chain."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(timeout=10, trust_env=False, verify=False)  # noqa: S501 - there are no certificates here

    def ask(self, method: str, *params: Any) -> Any:
        """The result of a call; an `AssertionError` with the error otherwise."""
        told = self.answer(method, *params)
        assert "result" in told, told
        return told["result"]

    def answer(self, method: str, *params: Any) -> dict[str, Any]:
        """The whole answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return self._client.post(self.url, json=body).json()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def advance(self, slots: int) -> int:
        """Let slots pass at once; the newest one."""
        return self.ask("guerdon_advanceSlots", slots)

    def funded(self, sol: int = 10) -> Keypair:
        """A new wallet with some SOL."""
        made = Keypair()
        self.ask("requestAirdrop", str(made.pubkey()), sol * SOL)
        return made

    def blockhash(self, commitment: str = "processed") -> Hash:
        """One that may be used now."""
        found = self.ask("getLatestBlockhash", {"commitment": commitment})
        return Hash.from_string(found["value"]["blockhash"])

    def signed(self, instructions: Sequence[Instruction], *signers: Keypair) -> VersionedTransaction:
        """A transaction whose fee the first signer pays."""
        message = MessageV0.try_compile(signers[0].pubkey(), instructions, [], self.blockhash())
        return VersionedTransaction(message, list(signers))

    def send(self, transaction: VersionedTransaction, **options: Any) -> str:
        """Send it; its signature."""
        return self.ask("sendTransaction", *sent(transaction, **options))

    def run(self, instructions: Sequence[Instruction], *signers: Keypair) -> str:
        """Sign and send; it has succeeded."""
        signature = self.send(self.signed(instructions, *signers))
        assert self.ask("getSignatureStatuses", [signature])["value"][0]["err"] is None
        return signature


def sent(transaction: VersionedTransaction, **options: Any) -> list[Any]:
    """The parameters of `sendTransaction` and `simulateTransaction`."""
    encoded = base64.b64encode(bytes(transaction)).decode()
    return [encoded, {"encoding": "base64", "preflightCommitment": "processed", "commitment": "processed", **options}]


def gift(giver: Keypair, to: Pubkey, lamports: int) -> Instruction:
    """A transfer of lamports."""
    return transfer(TransferParams(from_pubkey=giver.pubkey(), to_pubkey=to, lamports=lamports))


@contextmanager
def running_solana(folder: Path, *, slot_ms: int = SLOT_MS, history: int = 200_000) -> Iterator[SolanaInThread]:
    """A chain in a folder, for the time of a block."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    address: list[str] = []
    failed: list[BaseException] = []

    async def live() -> None:
        with LocalSolana(folder, slot_ms=slot_ms, history=history) as chain:
            async with serving(chain) as url:
                address.append(url)
                ready.set()
                await stop.wait()

    def run() -> None:
        try:
            loop.run_until_complete(live())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failed.append(error)
        finally:
            loop.close()
            ready.set()

    thread = threading.Thread(target=run, name="solana")
    thread.start()
    ready.wait()
    solana: SolanaInThread | None = None
    try:
        if failed:
            raise failed[0]
        solana = SolanaInThread(address[0])
        yield solana
    finally:
        if solana is not None:
            solana.close()
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
