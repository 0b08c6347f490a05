"""The local chain over restarts, kills, torn files and strangers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from time import time

import pytest

from guerdon.chains.anvil import LocalChain, LocalChainError, find_anvil
from guerdon.chains.anvil_files import ChainFolder
from guerdon.chains.evm import EvmClient
from tests.support.local_chain import Account

NOBODY = "0x00000000000000000000000000000000000A11cE"
FAST = 0.2


async def pay(chain: LocalChain, wei: int) -> int:
    """Send coins to NOBODY; the block that they are in."""
    async with EvmClient(chain.url) as client:
        return (await Account(client, chain.funder.private_key).send(NOBODY, value=wei)).block_number


async def balance(chain: LocalChain) -> int:
    async with EvmClient(chain.url) as client:
        return await client.balance(NOBODY, "latest")


async def until_final(chain: LocalChain, number: int) -> None:
    async with EvmClient(chain.url) as client:
        for _ in range(200):
            if (await client.head("finalized")).number >= number:
                return
            await asyncio.sleep(0.05)
    raise AssertionError(f"block {number} did not become final")


async def test_blocks_come_by_themselves_and_become_final(tmp_path: Path) -> None:
    async with LocalChain(tmp_path, block_seconds=FAST) as chain:
        await until_final(chain, await pay(chain, 5))


async def test_s27_a_clean_stop_loses_nothing(tmp_path: Path) -> None:
    async with LocalChain(tmp_path, block_seconds=FAST) as chain:
        number = await pay(chain, 5)
        async with EvmClient(chain.url) as client:
            genesis, block = await client.genesis_hash(), (await client.block_by_number(number)).head
    async with LocalChain(tmp_path, block_seconds=FAST) as chain, EvmClient(chain.url) as client:
        assert await client.genesis_hash() == genesis
        assert (await client.block_by_number(number)).head == block
        assert await balance(chain) == 5
        assert await client.nonce(chain.funder.address, "latest") == 1
        # Final state is there at once, though anvil itself knows none from before its start.
        assert await client.balance(NOBODY, "finalized") == 5
        assert (await client.head("finalized")).number >= number


async def test_s27_a_kill_loses_no_final_block(tmp_path: Path) -> None:
    paid, final = 0, 0
    for _ in range(2):
        async with LocalChain(tmp_path, block_seconds=1) as chain:
            assert await balance(chain) >= final
            number = await pay(chain, 1)
            paid = await balance(chain)
            await until_final(chain, number)
            final = paid
            chain.kill()
            assert await chain.wait() == "was ended by signal 9"
    async with LocalChain(tmp_path, block_seconds=FAST) as chain:
        assert await balance(chain) == final


async def test_s27_many_restarts_keep_one_first_block_and_the_wall_clock(tmp_path: Path) -> None:
    # anvil makes a block 0 of its own at each start; if it differed, the state would hold both and some start would pick the wrong one.
    for _ in range(4):
        async with LocalChain(tmp_path, block_seconds=FAST) as chain, EvmClient(chain.url) as client:
            number = await pay(chain, 1)
            assert abs((await client.block_by_number(number)).head.timestamp - time()) < 5
    blocks = json.loads((tmp_path / "state.json").read_bytes())["blocks"]
    assert len({block["header"]["number"] for block in blocks}) == len(blocks)


async def test_s27_a_torn_state_is_passed_over(tmp_path: Path) -> None:
    async with LocalChain(tmp_path, block_seconds=FAST) as chain:
        await until_final(chain, await pay(chain, 5))
        await asyncio.sleep(1.5)
        chain.kill()
        await chain.wait()
    folder = ChainFolder(tmp_path)
    whole = (tmp_path / "state.last.json").read_bytes()
    for torn in (b"", whole[: len(whole) // 2], whole[:-1], b'{"block":{}}'):
        folder.state.write_bytes(torn)
        async with LocalChain(tmp_path, block_seconds=FAST) as chain:
            assert await balance(chain) == 5
        (tmp_path / "state.last.json").write_bytes(whole)


async def test_s27_a_state_that_is_wholly_gone_is_never_replaced_by_a_new_chain(tmp_path: Path) -> None:
    async with LocalChain(tmp_path, block_seconds=FAST):
        pass
    for path in tmp_path.glob("state*.json"):
        path.write_bytes(b"{")
    with pytest.raises(LocalChainError, match="is damaged"):
        await LocalChain(tmp_path).start()
    for path in tmp_path.glob("state*.json"):
        path.unlink()
    with pytest.raises(LocalChainError, match="is gone"):
        await LocalChain(tmp_path).start()


async def test_s27_a_first_start_that_was_killed_begins_anew(tmp_path: Path) -> None:
    async with LocalChain(tmp_path, block_seconds=FAST):
        pass
    (tmp_path / "identity.json").unlink()
    async with LocalChain(tmp_path, block_seconds=FAST) as chain, EvmClient(chain.url) as client:
        assert await client.balance(chain.funder.address, "latest") > 10**26


async def test_s21_two_chains_never_share_their_first_block(tmp_path: Path) -> None:
    first, second = LocalChain(tmp_path / "a"), LocalChain(tmp_path / "b")
    one, other = await asyncio.gather(first.start(), second.start())
    await asyncio.gather(first.stop(), second.stop())
    assert one.genesis_hash != other.genesis_hash
    assert first.funder.address != second.funder.address


async def test_s21_the_files_of_another_chain_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        async with LocalChain(tmp_path / name):
            pass
    (tmp_path / "a" / "state.json").replace(tmp_path / "b" / "state.json")
    for name in ("state.last.json", "state.before.json"):
        (tmp_path / "b" / name).unlink(missing_ok=True)
    with pytest.raises(LocalChainError, match="begins with block"):
        await LocalChain(tmp_path / "b").start()
    with pytest.raises(LocalChainError, match="has id 31337, not 31338"):
        await LocalChain(tmp_path / "a", chain_id=31338).start()


def test_the_funders_key_is_random_kept_and_for_its_owner_only(tmp_path: Path) -> None:
    key = ChainFolder(tmp_path).funder()
    assert ChainFolder(tmp_path).funder() == key
    assert stat.S_IMODE((tmp_path / "funder.key").stat().st_mode) == 0o600


async def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalChainError, match=f"port {port} is in use") as error:
            await LocalChain(tmp_path, port=port).start()
    assert "choose another port" in error.value.remedy
    async with LocalChain(tmp_path, port=port) as chain:
        assert chain.url.endswith(f":{port}")


def test_a_missing_program_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LocalChainError, match="name the anvil binary"):
        find_anvil(tmp_path / "anvil")


async def test_a_program_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "anvil"
    program.write_text("#!/bin/sh\necho it is broken\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(LocalChainError, match="it is broken"):
        await LocalChain(tmp_path / "chain", anvil=program).start()


async def test_an_idle_chain_slows_down_and_wakes_for_a_transaction(tmp_path: Path) -> None:
    async with (
        LocalChain(tmp_path, block_seconds=FAST, idle_after_seconds=1, idle_block_seconds=1_000) as chain,
        EvmClient(chain.url) as client,
    ):
        await asyncio.sleep(FAST * 10)
        idle = (await client.head()).number
        await asyncio.sleep(FAST * 5)
        assert (await client.head()).number == idle
        number = await pay(chain, 5)
        assert number == idle + 1
        await until_final(chain, number)


LEFTOVER = """
import asyncio, os, sys
from pathlib import Path
from guerdon.chains.anvil import LocalChain
async def main():
    chain = LocalChain(Path(sys.argv[1]), block_seconds=0.2)
    await chain.start()
    print(chain.pid, chain.url, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def started_elsewhere(folder: Path) -> tuple[subprocess.Popen[str], int, str]:
    program = [sys.executable, "-c", textwrap.dedent(LEFTOVER), str(folder)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, url = process.stdout.readline().split()
    process.stdout.close()
    return process, int(pid), url


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_s27_anvil_stops_with_its_state_written_when_its_parent_is_killed(tmp_path: Path) -> None:
    process, pid, url = started_elsewhere(tmp_path)
    async with EvmClient(url) as client:
        key = ChainFolder(tmp_path).funder().private_key
        await Account(client, key).send(NOBODY, value=5)
    process.kill()
    process.wait()
    for _ in range(100):
        if not is_alive(pid):
            break
        await asyncio.sleep(0.05)
    assert not is_alive(pid)
    async with LocalChain(tmp_path, block_seconds=FAST) as chain:
        assert await balance(chain) == 5


async def test_s27_what_a_killed_run_left_behind_is_stopped_before_the_next_start(tmp_path: Path) -> None:
    chain = LocalChain(tmp_path, block_seconds=FAST)
    await chain.start()
    left = chain.pid
    assert left is not None
    await pay(chain, 5)
    # As if this run had been killed on a system where children survive: its anvil goes on, its pid file stays.
    async with LocalChain(tmp_path, block_seconds=FAST) as after:
        assert await balance(after) == 5
        assert after.pid != left
        assert not is_alive(left)
    await chain.stop()


async def test_a_strangers_process_with_the_noted_number_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        ChainFolder(tmp_path).write_pid(stranger.pid)
        async with LocalChain(tmp_path, block_seconds=FAST):
            assert stranger.poll() is None
    finally:
        os.kill(stranger.pid, signal.SIGKILL)
        stranger.wait()


def test_whole_states_are_set_aside_and_torn_ones_are_not(tmp_path: Path) -> None:
    folder = ChainFolder(tmp_path)
    assert not folder.keep_state()
    folder.state.write_text(json.dumps({"best_block_number": 1, "x": "y" * 100}))
    assert not folder.keep_state()  # it may be being written
    assert folder.keep_state()
    folder.state.write_text('{"best_block_number": 2, "x": "yy')
    assert not folder.keep_state()
    assert not folder.keep_state()
    assert folder.restore_state() == 1
    folder.state.write_text(json.dumps({"best_block_number": "0x3"}))
    assert folder.restore_state() == 3
    assert json.loads(folder.state.read_text()) == {"best_block_number": "0x3"}
