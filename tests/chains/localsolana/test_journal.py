"""What is left of a local Solana after it ended, in whatever way (SAFETY S27)."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from guerdon.chains.anvil_process import LocalChainError
from guerdon.chains.localsolana.chain import LocalSolana
from tests.support.local_solana import SOL, SolanaInThread, gift, running_solana, sent
from tests.support.services import free_port

SEEN = {"commitment": "processed"}


def seen(solana: SolanaInThread, *addresses: Pubkey) -> dict[str, Any]:
    """What anybody could know of the chain."""
    signatures = {
        one["signature"]
        for who in addresses
        for one in solana.ask("getSignaturesForAddress", str(who), {"commitment": "confirmed"})
    }
    return {
        "genesis": solana.ask("getGenesisHash"),
        "accounts": [solana.ask("getAccountInfo", str(one), {"encoding": "base64", **SEEN})["value"] for one in addresses],
        "transactions": {
            one: solana.ask("getTransaction", one, {"commitment": "confirmed", "maxSupportedTransactionVersion": 0})
            for one in sorted(signatures)
        },
    }


def test_s27_a_restart_goes_on_with_the_same_accounts_signatures_and_slots(tmp_path: Path) -> None:
    with running_solana(tmp_path, slot_ms=400) as solana:
        giver, to = solana.funded(), Keypair().pubkey()
        for number in range(20):
            solana.run([gift(giver, to, SOL // 100 + number)], giver)
        solana.send(solana.signed([gift(giver, to, 100 * SOL)], giver), skipPreflight=True)
        solana.advance(5)
        before, slot = seen(solana, giver.pubkey(), to), solana.ask("getSlot", SEEN)
        blockhash = str(solana.blockhash())
    with running_solana(tmp_path, slot_ms=400) as solana:
        assert seen(solana, giver.pubkey(), to) == before
        assert len(before["transactions"]) == 22
        assert solana.ask("getSlot", SEEN) >= slot
        assert solana.ask("isBlockhashValid", blockhash, SEEN)["value"] is True
        solana.run([gift(giver, to, SOL)], giver)


def test_s27_what_was_not_final_is_still_not_after_a_restart(tmp_path: Path) -> None:
    with running_solana(tmp_path, slot_ms=400) as solana:
        giver, to = solana.funded(), Keypair().pubkey()
        solana.advance(40)
        solana.run([gift(giver, to, SOL)], giver)
        solana.run([gift(giver, to, SOL + 1)], giver)
    with running_solana(tmp_path, slot_ms=400) as solana:
        assert solana.ask("getBalance", str(to), {"commitment": "finalized"})["value"] == 0
        assert solana.ask("getBalance", str(giver.pubkey()), {"commitment": "finalized"})["value"] == 10 * SOL
        assert solana.ask("getBalance", str(to), SEEN)["value"] == 2 * SOL + 1
        solana.advance(40)
        assert solana.ask("getBalance", str(to), {"commitment": "finalized"})["value"] == 2 * SOL + 1


def test_s27_a_transaction_that_was_answered_survives_a_kill(tmp_path: Path) -> None:
    port = free_port()
    told: list[str] = []
    giver, to = Keypair(), Keypair().pubkey()
    for attempt in range(3):
        process = spawned(tmp_path, port)
        solana = SolanaInThread(f"http://127.0.0.1:{port}")
        try:
            until_it_answers(solana)
            if attempt == 0:
                told.append(solana.ask("requestAirdrop", str(giver.pubkey()), 10 * SOL))
            amounts = (SOL // 100 + 10 * attempt + number for number in range(10))
            told.extend(solana.run([gift(giver, to, amount)], giver) for amount in amounts)
        finally:
            solana.close()
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    with running_solana(tmp_path) as solana:
        found = solana.ask("getSignatureStatuses", told, {"searchTransactionHistory": True})["value"]
        assert all(one is not None and one["err"] is None for one in found)
        paid = sum(SOL // 100 + number for number in range(30))
        assert solana.ask("getBalance", str(to), SEEN)["value"] == paid
        assert solana.ask("getBalance", str(giver.pubkey()), SEEN)["value"] == 10 * SOL - paid - 30 * 5_000
        repeated = solana.ask("getTransactionCount")
        assert repeated == len(told)


@pytest.mark.parametrize("left", [1, 11, 13, 100])
def test_s27_half_a_record_at_the_end_is_cut_off(tmp_path: Path, left: int) -> None:
    with running_solana(tmp_path, slot_ms=400) as solana:
        giver, to = solana.funded(), Keypair().pubkey()
        solana.run([gift(giver, to, SOL)], giver)
        whole = (tmp_path / "journal").stat().st_size
        lost = solana.signed([gift(giver, to, 2 * SOL)], giver)
        solana.send(lost)
    with (tmp_path / "journal").open("r+b") as file:
        file.truncate(whole + left)
    with running_solana(tmp_path, slot_ms=400) as solana:
        assert solana.ask("getBalance", str(to), SEEN)["value"] == SOL
        assert (tmp_path / "journal").stat().st_size == whole
        # Nobody was told of it, so it may be sent again.
        solana.send(lost)
        assert solana.ask("getBalance", str(to), SEEN)["value"] == 3 * SOL


def test_s27_a_file_that_a_power_cut_left_too_long_is_cut(tmp_path: Path) -> None:
    LocalSolana(tmp_path).close()
    whole = (tmp_path / "journal").stat().st_size
    with (tmp_path / "journal").open("ab") as file:
        file.write(bytes(5_000))
    LocalSolana(tmp_path).close()
    assert (tmp_path / "journal").stat().st_size == whole


@pytest.mark.parametrize("place", [20, 40, -60])
def test_damage_in_the_middle_is_told_and_nothing_made_up(tmp_path: Path, place: int) -> None:
    with running_solana(tmp_path) as solana:
        solana.funded()
        solana.funded()
    content = bytearray((tmp_path / "journal").read_bytes())
    at = place if place > 0 else len(content) // 2
    content[at] ^= 0xFF
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(LocalChainError, match="damaged at byte"):
        LocalSolana(tmp_path)
    assert (tmp_path / "journal").read_bytes() == content


def test_another_file_is_not_taken_for_a_journal(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"my letters\n" * 10)
    with pytest.raises(LocalChainError, match="is no journal"):
        LocalSolana(tmp_path)


def test_s27_one_process_a_folder(tmp_path: Path) -> None:
    with LocalSolana(tmp_path), pytest.raises(LocalChainError, match="another process runs"):
        LocalSolana(tmp_path)
    LocalSolana(tmp_path).close()


def test_each_chain_has_a_genesis_of_its_own(tmp_path: Path) -> None:
    with LocalSolana(tmp_path / "a") as one, LocalSolana(tmp_path / "b") as other:
        assert one.genesis_hash != other.genesis_hash
        assert one.genesis_hash[:32] == other.genesis_hash[:32]
        assert one.faucet != other.faucet
        Pubkey.from_string(one.genesis_hash)


def test_another_slot_time_counts_from_now_on_and_slots_never_go_back(tmp_path: Path) -> None:
    now = 1_000_000_000_000
    with LocalSolana(tmp_path, now_ms=lambda: now) as chain:
        first = chain.slots.head()
    now += 400_000
    with LocalSolana(tmp_path, slot_ms=100, now_ms=lambda: now) as chain:
        assert chain.slots.head() == first + 1_000
        now += 1_000
        assert chain.slots.head() == first + 1_010
        now -= 500_000
        assert chain.slots.head() == first + 1_010


def test_old_transactions_are_forgotten_and_the_journal_stays_short(tmp_path: Path) -> None:
    with running_solana(tmp_path, history=20) as solana:
        giver, to = solana.funded(), Keypair().pubkey()
        signatures = [solana.run([gift(giver, to, SOL // 10 + number)], giver) for number in range(50)]
        size = (tmp_path / "journal").stat().st_size
        count, rest = solana.ask("getTransactionCount"), solana.ask("getBalance", str(to), SEEN)["value"]
        solana.advance(40)
        found = solana.ask("getSignatureStatuses", signatures, {"searchTransactionHistory": True})["value"]
        assert [one is not None for one in found] == [False] * 30 + [True] * 20
        listed = [one["signature"] for one in solana.ask("getSignaturesForAddress", str(to))]
        assert listed == signatures[:29:-1]
        first = solana.ask("getFirstAvailableBlock")
        assert first > 0
        assert solana.answer("getBlock", first - 1)["error"]["code"] == -32001
    with running_solana(tmp_path, history=20) as solana:
        assert (solana.ask("getTransactionCount"), solana.ask("getFirstAvailableBlock")) == (count, first)
        assert solana.ask("getBalance", str(to), SEEN)["value"] == rest
        assert [one["signature"] for one in solana.ask("getSignaturesForAddress", str(to))] == listed
        for one in listed:
            assert solana.ask("getTransaction", one, {"maxSupportedTransactionVersion": 0})["transaction"]["signatures"] == [one]
        for number in range(50):
            solana.run([gift(giver, to, SOL // 20 + number)], giver)
        assert (tmp_path / "journal").stat().st_size < 1.5 * size
        assert solana.answer("sendTransaction", *sent(solana.signed([gift(giver, to, SOL)], giver))).get("result")


def test_many_at_once_are_answered_while_the_journal_is_shortened(tmp_path: Path) -> None:
    with running_solana(tmp_path, slot_ms=400, history=10) as solana, ThreadPoolExecutor(8) as pool:
        giver, to = solana.funded(), Keypair().pubkey()
        made = [solana.signed([gift(giver, to, SOL // 20 + number)], giver) for number in range(100)]
        list(pool.map(solana.send, made))
        assert solana.ask("getBalance", str(to), SEEN)["value"] == sum(SOL // 20 + number for number in range(100))


def test_a_chain_that_can_not_write_says_so_and_ends(tmp_path: Path) -> None:
    with running_solana(tmp_path) as solana:
        giver, to = solana.funded(), Keypair().pubkey()
        solana.run([gift(giver, to, SOL)], giver)
    whole, port = (tmp_path / "journal").stat().st_size, free_port()
    # Files may not grow beyond that, as on a full disk.
    process = spawned(tmp_path, port, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 10, whole + 10)))
    solana = SolanaInThread(f"http://127.0.0.1:{port}")
    try:
        until_it_answers(solana)
        assert (
            solana.answer("sendTransaction", *sent(solana.signed([gift(giver, to, 2 * SOL)], giver)))["error"]["code"] == -32603
        )
        assert solana.answer("getBalance", str(to), SEEN)["error"]["code"] == -32005
        assert process.wait(timeout=20) == 1
    finally:
        solana.close()
        process.kill()
        process.wait()
    with running_solana(tmp_path) as solana:
        assert (tmp_path / "journal").stat().st_size == whole
        assert solana.ask("getBalance", str(to), SEEN)["value"] == SOL


def spawned(folder: Path, port: int, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "guerdon.local.solana", "--folder", str(folder), "--port", str(port), "--slot-ms", "20"],
        stderr=subprocess.DEVNULL,
        **options,
    )


def until_it_answers(solana: SolanaInThread) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            solana.ask("getHealth")
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        except Exception as error:
            if "Connect" not in type(error).__name__ or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
