"""What happens to transactions on the local Solana: as on any cluster, also where that is unkind."""

from __future__ import annotations

import time
from pathlib import Path

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from tests.support.local_solana import SOL, SolanaInThread, gift, running_solana, sent


def balance(solana: SolanaInThread, address: Pubkey, commitment: str = "processed") -> int:
    return solana.ask("getBalance", str(address), {"commitment": commitment})["value"]


def status(solana: SolanaInThread, signature: str, *, search: bool = False) -> dict[str, object] | None:
    return solana.ask("getSignatureStatuses", [signature], {"searchTransactionHistory": search})["value"][0]


def test_accounts_are_told_as_they_were_at_each_commitment(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    solana.advance(40)
    signature = solana.run([gift(giver, to, SOL)], giver)
    assert [balance(solana, to, one) for one in ("processed", "confirmed", "finalized")] == [SOL, 0, 0]
    assert solana.ask("getTransaction", signature, {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}) is None
    solana.advance(3)
    assert [balance(solana, to, one) for one in ("processed", "confirmed", "finalized")] == [SOL, SOL, 0]
    found = status(solana, signature)
    assert found is not None
    assert found["confirmationStatus"] == "confirmed"
    assert solana.ask("getTransaction", signature, {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}) is not None
    assert solana.ask("getTransaction", signature, {"maxSupportedTransactionVersion": 0}) is None
    solana.advance(32)
    assert balance(solana, to, "finalized") == SOL
    found = status(solana, signature)
    assert found is not None
    assert (found["confirmationStatus"], found["confirmations"]) == ("finalized", None)


def test_slots_go_on_with_time_and_heights_are_lower_than_slots(tmp_path: Path) -> None:
    with running_solana(tmp_path, slot_ms=20) as solana:
        before = solana.ask("getSlot", {"commitment": "processed"})
        time.sleep(0.1)
        assert solana.ask("getSlot", {"commitment": "processed"}) >= before + 5
        check_order(solana)


def check_order(solana: SolanaInThread) -> None:
    slots = [solana.ask("getSlot", {"commitment": one}) for one in ("finalized", "confirmed", "processed")]
    assert slots == sorted(slots)
    assert solana.ask("getBlockHeight", {"commitment": "finalized"}) < slots[0]


def test_a_blockhash_may_be_used_for_150_blocks(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    latest = solana.ask("getLatestBlockhash", {"commitment": "processed"})["value"]
    in_time, too_late = (solana.signed([gift(giver, to, amount)], giver) for amount in (SOL, 2 * SOL))
    assert str(in_time.message.recent_blockhash) != "1" * 32
    assert solana.ask("isBlockhashValid", latest["blockhash"], {"commitment": "processed"})["value"] is True
    solana.advance(100)
    solana.send(in_time)
    solana.advance(60)
    assert solana.ask("getBlockHeight", {"commitment": "processed"}) > latest["lastValidBlockHeight"]
    assert solana.ask("isBlockhashValid", latest["blockhash"], {"commitment": "processed"})["value"] is False
    refused = solana.answer("sendTransaction", *sent(too_late))["error"]
    assert (refused["code"], refused["message"]) == (-32002, "Transaction simulation failed: Blockhash not found")
    assert refused["data"]["err"] == "BlockhashNotFound"
    # Without preflight nobody says so.
    signature = solana.send(too_late, skipPreflight=True)
    assert status(solana, signature, search=True) is None
    assert balance(solana, to) == SOL


def test_a_blockhash_of_the_head_is_not_known_to_the_finalized_bank(solana: SolanaInThread) -> None:
    giver = solana.funded()
    solana.advance(40)
    made = solana.signed([gift(giver, Pubkey.new_unique(), SOL)], giver)
    refused = solana.answer("sendTransaction", *sent(made, preflightCommitment="finalized"))["error"]
    assert refused["data"]["err"] == "BlockhashNotFound"
    assert solana.send(made, preflightCommitment="processed") == str(made.signatures[0])


def test_the_same_bytes_count_once(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    made = solana.signed([gift(giver, to, SOL)], giver)
    signature = solana.send(made)
    refused = solana.answer("sendTransaction", *sent(made))["error"]
    assert refused["data"]["err"] == "AlreadyProcessed"
    assert refused["message"] == "Transaction simulation failed: This transaction has already been processed"
    assert solana.send(made, skipPreflight=True) == signature
    assert balance(solana, to) == SOL


def test_the_same_payment_signed_with_another_blockhash_pays_again(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    solana.run([gift(giver, to, SOL)], giver)
    solana.advance(1)
    solana.run([gift(giver, to, SOL)], giver)
    assert balance(solana, to) == 2 * SOL


def test_what_would_fail_is_refused_by_preflight_and_without_it_lands_and_pays_its_fee(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    made = solana.signed([gift(giver, to, 11 * SOL)], giver)
    refused = solana.answer("sendTransaction", *sent(made))["error"]
    assert refused["code"] == -32002
    assert refused["message"] == "Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1"
    assert refused["data"]["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert "Transfer: insufficient lamports" in " ".join(refused["data"]["logs"])
    signature = solana.send(made, skipPreflight=True)
    found = status(solana, signature)
    assert found is not None
    assert (found["err"], found["status"]) == (
        {"InstructionError": [0, {"Custom": 1}]},
        {"Err": {"InstructionError": [0, {"Custom": 1}]}},
    )
    assert (balance(solana, giver.pubkey()), balance(solana, to)) == (10 * SOL - 5_000, 0)
    solana.advance(40)
    told = solana.ask("getTransaction", signature, {"maxSupportedTransactionVersion": 0})
    assert told["meta"]["err"] == {"InstructionError": [0, {"Custom": 1}]}


def test_a_wrong_signature_is_refused_or_dropped(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    made = solana.signed([gift(giver, to, SOL)], giver)
    forged = VersionedTransaction.populate(made.message, [Keypair().sign_message(b"something else")])
    refused = solana.answer("sendTransaction", *sent(forged))["error"]
    assert (refused["code"], refused["message"]) == (-32003, "Transaction signature verification failure")
    assert status(solana, solana.send(forged, skipPreflight=True), search=True) is None
    assert balance(solana, to) == 0
    unsigned = VersionedTransaction.populate(made.message, [made.signatures[0].default()])
    assert solana.ask("simulateTransaction", *sent(unsigned))["value"]["err"] is None
    assert solana.answer("simulateTransaction", *sent(unsigned, sigVerify=True))["error"]["code"] == -32003


def test_a_priority_fee_is_paid_whether_it_succeeds_or_not(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    solana.advance(1)
    budget = [set_compute_unit_limit(10_000), set_compute_unit_price(1_000_001)]
    solana.run([*budget, gift(giver, to, SOL)], giver)
    # 10,000 units for 1,000,001 micro-lamports each: 10,000.01 lamports, rounded up.
    left = 9 * SOL - 5_000 - 10_001
    assert balance(solana, giver.pubkey()) == left
    failing = solana.signed([*budget, gift(giver, to, 100 * SOL)], giver)
    simulated = solana.ask("simulateTransaction", *sent(failing))["value"]
    assert simulated["err"] == {"InstructionError": [2, {"Custom": 1}]}
    assert balance(solana, giver.pubkey()) == left
    signature = solana.send(failing, skipPreflight=True)
    assert balance(solana, giver.pubkey()) == left - 5_000 - 10_001
    solana.advance(40)
    assert solana.ask("getTransaction", signature, {"maxSupportedTransactionVersion": 0})["meta"]["fee"] == 15_001
    fees = solana.ask("getRecentPrioritizationFees")
    assert max(one["prioritizationFee"] for one in fees) == 1_000_001


def test_who_can_not_pay_the_fee_is_not_in_the_chain(solana: SolanaInThread) -> None:
    nobody, poor = Keypair(), solana.funded(1)
    for budget, error in (([], "AccountNotFound"), ([set_compute_unit_price(1)], "AccountNotFound")):
        made = solana.signed([*budget, gift(nobody, Pubkey.new_unique(), 1)], nobody)
        assert solana.answer("sendTransaction", *sent(made))["error"]["data"]["err"] == error
        assert status(solana, solana.send(made, skipPreflight=True), search=True) is None
    dear = [set_compute_unit_limit(1_000_000), set_compute_unit_price(2_000_000_000)]
    made = solana.signed([*dear, gift(poor, Pubkey.new_unique(), 1)], poor)
    assert solana.answer("sendTransaction", *sent(made))["error"]["data"]["err"] == "InsufficientFundsForFee"
    assert status(solana, solana.send(made, skipPreflight=True), search=True) is None
    assert balance(solana, poor.pubkey()) == SOL


def test_no_account_is_left_with_less_than_its_rent(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    few = solana.signed([gift(giver, to, 890_879)], giver)
    refused = solana.answer("sendTransaction", *sent(few))["error"]
    assert refused["data"]["err"] == {"InsufficientFundsForRent": {"account_index": 1}}
    assert refused["message"].endswith("Transaction results in an account (1) with insufficient funds for rent")
    found = status(solana, solana.send(few, skipPreflight=True))
    assert found is not None
    assert found["err"] == {"InsufficientFundsForRent": {"account_index": 1}}
    assert (balance(solana, giver.pubkey()), balance(solana, to)) == (10 * SOL - 5_000, 0)
    solana.run([gift(giver, to, 890_880)], giver)
    assert balance(solana, to) == 890_880


def test_a_simulation_sees_the_accounts_of_its_commitment_and_changes_nothing(solana: SolanaInThread) -> None:
    giver = solana.funded()
    other = Keypair()
    solana.advance(40)
    solana.run([gift(giver, other.pubkey(), 5 * SOL)], giver)
    made = solana.signed([gift(other, Pubkey.new_unique(), SOL)], other)
    options = {"replaceRecentBlockhash": True}
    assert solana.ask("simulateTransaction", *sent(made, **options))["value"]["err"] is None
    old = solana.ask("simulateTransaction", *sent(made, commitment="finalized", **options))["value"]
    assert old["err"] == "AccountNotFound"
    assert balance(solana, other.pubkey()) == 5 * SOL
    solana.run([gift(other, Pubkey.new_unique(), SOL)], other)


def test_statuses_of_long_ago_are_found_by_searching_only(solana: SolanaInThread) -> None:
    giver = solana.funded()
    signature = solana.run([gift(giver, Pubkey.new_unique(), SOL)], giver)
    solana.advance(400)
    assert status(solana, signature) is None
    assert status(solana, signature, search=True) is not None


def test_signatures_of_an_address_are_paged_newest_first(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    signatures = [solana.run([gift(giver, to, SOL + number)], giver) for number in range(5)]
    assert solana.ask("getSignaturesForAddress", str(to), {"commitment": "finalized"}) == []
    solana.advance(40)

    def listed(**options: object) -> list[str]:
        return [one["signature"] for one in solana.ask("getSignaturesForAddress", str(to), options)]

    assert listed() == signatures[::-1]
    assert listed(limit=2) == [signatures[4], signatures[3]]
    assert listed(limit=2, before=signatures[3]) == [signatures[2], signatures[1]]
    assert listed(until=signatures[2]) == [signatures[4], signatures[3]]
    assert listed(before="1" * 64) == []
    assert listed(until="1" * 64) == signatures[::-1]


def test_an_account_that_is_emptied_is_gone(solana: SolanaInThread) -> None:
    giver, other = solana.funded(), Keypair()
    solana.run([gift(giver, other.pubkey(), SOL)], giver)
    solana.run([gift(other, giver.pubkey(), SOL - 5_000)], other)
    assert solana.ask("getAccountInfo", str(other.pubkey()), {"encoding": "base64", "commitment": "processed"})["value"] is None
    assert solana.ask("getAccountInfo", str(other.pubkey()), {"encoding": "base64", "commitment": "finalized"})["value"] is None
