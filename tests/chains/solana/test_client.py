"""The client on a chain that works, and on nodes that fail, lie or lag: an error is never knowledge (SAFETY S35)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from guerdon.chains.jsonrpc import Call
from guerdon.chains.networks import KNOWN_NETWORKS
from guerdon.chains.port import BadAnswerError, ChainUnavailableError, RpcError, WrongChainError
from guerdon.chains.solana import instructions, messages
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.markers import Marker
from tests.support.local_solana import SOL, SolanaInThread, gift

WALLET, UNUSED = (str(Keypair().pubkey()) for _ in range(2))


@asynccontextmanager
async def node(
    answer: Callable[[dict[str, Any]], Any], **options: Any
) -> AsyncIterator[tuple[SolanaClient, list[dict[str, Any]]]]:
    """A node that answers as it is told: bytes are sent as they are, anything else as the answer's fields."""
    asked: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            request = json.loads(await reader.readexactly(length))
            asked.append(request)
            told = answer(request)
            if asyncio.iscoroutine(told):
                told = await told
            if told is None:
                return
            if not isinstance(told, bytes):
                body = json.dumps({"jsonrpc": "2.0", "id": request["id"], **told}).encode()
                told = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            writer.write(told)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/?api-key=very-secret"
    async with server, SolanaClient(url, timeout_s=options.pop("timeout_s", 2), **options) as client:
        yield client, asked


async def test_what_a_working_node_tells(solana: SolanaInThread, client: SolanaClient) -> None:
    giver = solana.funded()
    solana.advance(40)
    known = KNOWN_NETWORKS["solana-local"]
    genesis = await client.check_chain(known.reference, None)
    assert genesis == await client.check_chain(None, genesis) == solana.ask("getGenesisHash")
    assert await client.version()
    assert await client.balance(str(giver.pubkey())) == 10 * SOL
    assert await client.balance(UNUSED) == 0
    assert await client.first_available_block() == 0
    slots = [await client.slot(one) for one in ("finalized", "confirmed", "processed")]
    assert slots == sorted(slots)
    final, height = await client.finalized()
    assert (final, height < final) == (slots[0], True)
    survey = await client.survey(str(giver.pubkey()))
    assert (survey.slot, survey.balance, survey.unit_price) == (slots[1], 10 * SOL, 0)
    assert survey.last_valid_height == height + slots[1] - slots[0] + 150
    found = await client.accounts([str(giver.pubkey()), WALLET, WALLET], "processed")
    account = found.found[str(giver.pubkey())]
    assert account is not None
    assert (account.lamports, account.owner, account.data, account.executable) == (10 * SOL, "1" * 32, b"", False)
    assert found.found[WALLET] is None
    assert found.slot == slots[2]
    many = [str(Pubkey.new_unique()) for _ in range(201)]
    assert (await client.accounts(many, "confirmed")).found == dict.fromkeys(many)
    assert (await client.accounts([], "confirmed")).found == {}
    assert (block := await client.block(await client.slot("finalized"))) is not None
    assert block.height < block.slot
    assert await client.block(10) is None


def _simulated(payer: str, *chosen: Instruction) -> bytes:
    return messages.complete(messages.compose(payer, chosen, units=10_000, unit_price=0, blockhash=None), None)


async def test_a_transaction_is_sent_followed_and_read(solana: SolanaInThread, client: SolanaClient) -> None:
    giver, to = solana.funded(), str(Keypair().pubkey())
    payer = str(giver.pubkey())
    chosen = [instructions.memo("order 7"), instructions.transfer_lamports(payer, to, SOL)]
    solana.advance(2)
    (tried,) = await client.simulate([_simulated(payer, *chosen)], least_slot=0)
    assert (tried.error, tried.failed_instruction, tried.reason) == (None, None, None)
    assert tried.units > 0
    raw, signature = _signed(solana, giver, *chosen)
    assert await client.send([raw, raw]) == [signature, signature]
    unknown = str(Keypair().sign_message(b"nothing"))
    found = await client.statuses([signature, unknown], search_history=True)
    status = found.found[signature]
    assert status is not None
    assert (status.succeeded, status.commitment, found.found[unknown]) == (True, "processed", None)
    assert await client.transaction(signature) is None
    solana.advance(40)
    told = await client.transaction(signature)
    assert told is not None
    assert (told.signature, told.slot, told.fee_payer, told.fee, told.succeeded) == (signature, status.slot, payer, 5_000, True)
    assert (told.signers, told.memos, told.raw, told.spent) == ((payer,), ("order 7",), raw, SOL + 5_000)
    assert told.block_time is not None
    listed = await client.signatures(to, "finalized")
    assert [(one.signature, one.memo, one.error) for one in listed] == [(signature, "[7] order 7", None)]
    assert await client.signatures(to, "finalized", before=signature) == []
    assert await client.signatures(to, "finalized", until=signature, limit=5) == []


def _signed(solana: SolanaInThread, giver: Keypair, *chosen: Instruction) -> tuple[bytes, str]:
    transaction = solana.signed(chosen, giver)
    return bytes(transaction), str(transaction.signatures[0])


async def test_what_would_fail_is_told_with_its_place(solana: SolanaInThread, client: SolanaClient) -> None:
    giver = solana.funded()
    payer = str(giver.pubkey())
    chosen = [instructions.memo("x"), instructions.transfer_lamports(payer, WALLET, 100 * SOL)]
    solana.advance(2)
    (tried,) = await client.simulate([_simulated(payer, *chosen)], least_slot=0)
    # Behind the two instructions of the compute budget.
    assert (tried.error, tried.failed_instruction) == ({"InstructionError": [3, {"Custom": 1}]}, 3)
    assert "insufficient lamports" not in str(tried.error)
    assert "failed" in str(tried.reason)
    raw, signature = _signed(solana, giver, *chosen)
    assert await client.send([raw]) == [signature]
    # Confirmed is not succeeded.
    status = (await client.statuses([signature], search_history=False)).found[signature]
    assert status is not None
    assert not status.succeeded


async def test_a_refusal_of_sent_bytes_is_told_in_its_place(solana: SolanaInThread, client: SolanaClient) -> None:
    raw, signature = _signed(solana, solana.funded(), instructions.memo("x"))
    refused, taken = await client.send([b"nonsense", raw])
    assert isinstance(refused, RpcError)
    assert taken == signature


async def test_looks_tell_of_signatures_and_markers_at_one_slot(solana: SolanaInThread, client: SolanaClient) -> None:
    giver = solana.funded()
    payer = str(giver.pubkey())
    made, missing = Marker(payer, uuid4()), Marker(payer, uuid4())
    signature = solana.run(made.make(), giver)
    unknown = str(Keypair().sign_message(b"nothing"))
    first = await client.first_look([signature, unknown])
    assert {one: status.commitment for one, status in first.statuses.items()} == {signature: "processed"}
    solana.advance(40)
    final, height = await client.finalized()
    groups = [([signature], made.address), ([unknown], missing.address), ([], None)]
    looks = await client.second_look(payer, groups, final)
    assert [(one.marker_exists, list(one.statuses)) for one in looks] == [(True, [signature]), (False, []), (None, [])]
    assert {(one.finalized_slot, one.finalized_height, one.first_available_slot) for one in looks} == {(final, height, 0)}
    assert await client.markers(payer, [made.address, missing.address]) == {made.address: True, missing.address: False}
    assert await client.markers(UNUSED, [made.address]) == {made.address: False}


async def test_s35_a_node_that_is_behind_is_no_knowledge(solana: SolanaInThread, client: SolanaClient) -> None:
    later = await client.slot("processed") + 1_000
    payer = str(solana.funded().pubkey())
    for question in (
        client.accounts([WALLET], "finalized", least_slot=later),
        client.second_look(payer, [([], None)], later),
        client.simulate([_simulated(payer, instructions.memo("x"))], least_slot=later),
    ):
        with pytest.raises(ChainUnavailableError, match="Minimum context slot has not been reached"):
            await question


async def test_s35_a_node_that_answers_of_an_older_slot_than_asked_is_not_believed() -> None:
    stale = {"result": {"context": {"slot": 5}, "value": [None]}}
    async with node(lambda _: stale) as (client, _):
        assert (await client.accounts([WALLET], "finalized")).found == {WALLET: None}
        with pytest.raises(BadAnswerError, match="it lags"):
            await client.accounts([WALLET], "finalized", least_slot=6)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": -32602, "message": "Invalid param: could not find account"}},
        {"error": {"code": -32005, "message": "Node is behind by 42 slots", "data": {"numSlotsBehind": 42}}},
        {"error": {"code": -32601, "message": "Method not found"}},
        {"error": "nothing here"},
        {"error": {"code": "x", "message": 1}},
        {},
        {"result": None},
        {"result": []},
        {"result": {"value": [None]}},
        {"result": {"context": {"slot": -1}, "value": [None]}},
        {"result": {"context": {"slot": True}, "value": [None]}},
        {"result": {"context": {"slot": 5}}},
        {"result": {"context": {"slot": 5}, "value": None}},
        {"result": {"context": {"slot": 5}, "value": []}},
        {"result": {"context": {"slot": 5}, "value": [{}]}},
        {
            "result": {
                "context": {"slot": 5},
                "value": [{"lamports": 1, "owner": "x", "data": ["", "base64"], "executable": False}],
            }
        },
        {"result": {"context": {"slot": 5}, "value": [{"lamports": 1, "owner": "1" * 32, "data": "", "executable": False}]}},
        {
            "result": {
                "context": {"slot": 5},
                "value": [{"lamports": 1, "owner": "1" * 32, "data": ["*", "base64"], "executable": False}],
            }
        },
        {"id": 77, "result": {"context": {"slot": 5}, "value": [None]}},
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwhat",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_s35_no_answer_is_never_taken_for_a_missing_account(answer: Any) -> None:
    async with node(lambda _: answer) as (client, _):
        with pytest.raises(ChainUnavailableError) as raised:
            await client.accounts([WALLET], "finalized")
        assert "very-secret" not in str(raised.value)


async def test_a_question_that_is_refused_at_once_is_asked_again_and_bytes_are_not() -> None:
    times = 0

    def refuse(request: dict[str, Any]) -> Any:
        nonlocal times
        times += 1
        if times < 3:
            return b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
        return {"result": 7}

    async with node(refuse) as (client, asked):
        assert await client.slot("finalized") == 7
        assert [one["method"] for one in asked] == ["getSlot"] * 3
        assert len({one["id"] for one in asked}) == 3
        times = 0
        with pytest.raises(ChainUnavailableError, match="status 429"):
            await client.send([b"bytes"])
        assert [one["method"] for one in asked][3:] == ["sendTransaction"]
        assert asked[3]["params"][1]["maxRetries"] == 0


async def test_a_question_that_times_out_is_not_asked_again() -> None:
    async def never(_: dict[str, Any]) -> None:
        await asyncio.sleep(5)

    async with node(never, timeout_s=0.2) as (client, asked):
        with pytest.raises(ChainUnavailableError, match="did not answer within"):
            await client.slot("finalized")
        assert len(asked) == 1


async def test_an_answer_without_end_is_cut_off() -> None:
    async with node(lambda _: {"result": "x" * 5_000}, max_response_bytes=1_000) as (client, _):
        with pytest.raises(BadAnswerError, match="more than 1000 bytes"):
            await client.genesis_hash()


async def test_a_node_that_is_not_there_is_unavailable() -> None:
    async with SolanaClient("http://127.0.0.1:1") as client:
        with pytest.raises(ChainUnavailableError, match="can't be reached"):
            await client.slot("finalized")
    with pytest.raises(ValueError, match="begins with http"):
        SolanaClient("ws://127.0.0.1")


async def test_s21_another_cluster_is_told_from_the_one_that_is_meant(client: SolanaClient) -> None:
    with pytest.raises(WrongChainError, match="belongs to another cluster"):
        await client.check_chain(KNOWN_NETWORKS["solana"].reference, None)
    genesis = await client.genesis_hash()
    with pytest.raises(WrongChainError, match="another one of the same kind"):
        await client.check_chain(None, other := genesis[:-1] + ("1" if genesis[-1] != "1" else "2"))
    client.expect(other)
    for question in (client.finalized(), client.balance(WALLET), client.accounts([WALLET], "finalized"), client.first_look([])):
        with pytest.raises(WrongChainError, match="answers for a chain with genesis"):
            await question


async def test_another_transaction_than_asked_for_is_not_believed(solana: SolanaInThread, client: SolanaClient) -> None:
    giver = solana.funded()
    signature = solana.run([gift(giver, Pubkey.new_unique(), SOL)], giver)
    solana.advance(40)
    told = solana.ask("getTransaction", signature, {"encoding": "base64", "maxSupportedTransactionVersion": 0})
    other = str(Keypair().sign_message(b"other"))
    async with node(lambda _: {"result": told}) as (liar, _):
        found = await liar.transaction(signature)
        assert found is not None
        assert found == await client.transaction(signature)
        with pytest.raises(BadAnswerError, match="another one"):
            await liar.transaction(other)


class _Balanced(SolanaClient):
    """Several nodes behind one address: the accounts are of another slot than the height."""

    height_at, accounts_at = 0, 0

    async def known(self, *calls: Call) -> list[Any]:
        told: dict[str, Any] = {
            "getEpochInfo": {"absoluteSlot": self.height_at, "blockHeight": self.height_at},
            "getFirstAvailableBlock": 0,
            "getMultipleAccounts": {"context": {"slot": self.accounts_at}, "value": [None]},
            "getSignatureStatuses": {"context": {"slot": self.height_at}, "value": [None]},
        }
        return [told[method] for method, _ in calls]


@pytest.mark.parametrize(("height_at", "accounts_at"), [(90, 120), (120, 90), (120, 119), (120, 120)])
async def test_s18_a_marker_that_was_read_before_the_height_its_forms_expire_by_is_no_knowledge(
    height_at: int, accounts_at: int
) -> None:
    async with _Balanced("http://127.0.0.1:1") as client:
        client.height_at, client.accounts_at = height_at, accounts_at
        asked = client.second_look(WALLET, [(["signature"], UNUSED)], 100)
        if 100 <= height_at <= accounts_at:
            (seen,) = await asked
            assert (seen.finalized_slot, seen.finalized_height, seen.marker_exists) == (120, 120, False)
            return
        with pytest.raises(BadAnswerError):
            await asked
