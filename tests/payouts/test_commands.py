"""The commands around payouts, as an operator types them, on a real installation."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from typer.testing import CliRunner

from guerdon.cli.main import app
from tests.payouts.house import House, a_wallet
from tests.payouts.moody import Mood


def settings_of(house: House) -> dict[str, str]:
    return {
        "DATABASE_URL": house.urls.app,
        "GUERDON_RPC_LOCAL": house.node.url,
        "GUERDON_SECRET_KEY": house.master.to_text(),
        "GUERDON_DEPLOYMENT_ID": str(house.deployment_id),
    }


async def guerdon(house: House, *arguments: str, fails: bool = False, **changed: str) -> str:
    """What a command printed; on stderr if it is to fail. In a thread of this process: starting one a command would take minutes."""
    environment = {**settings_of(house), **changed}
    done = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=environment)
    assert done.exit_code == int(fails), (arguments, done.output, done.exception)
    return done.stderr if fails else done.stdout


async def read(house: House, *arguments: str) -> Any:
    """The JSON that a command printed; what the house's own workers log meanwhile lands beside it."""
    lines = (await guerdon(house, *arguments, "--json")).splitlines()
    begin = next(number for number, line in enumerate(lines) if line in {"{", "[", "[]"})
    document, _ = json.JSONDecoder().raw_decode("\n".join(lines[begin:]))
    return document


async def test_an_operator_sets_an_asset_up_funds_a_program_and_follows_its_payouts(house: House) -> None:
    async with house.working():
        deployed = await read(house, "contracts", "deploy", "--network", "local", "--asset", "ABC", "--daily-cap", "500")
        assert set(deployed["contracts"]) == {"RewardDistributor", "MerkleDrop", "RewardToken:ABC", "RewardMinter:ABC"}
        assert {one["symbol"] for one in await read(house, "asset", "list")} == {"LTZ", "ABC"}
        made = await read(house, "treasury", "create", "ABC", "--low-balance", "10")
        funded = await read(house, "treasury", "fund", "ABC", "--wei", "1000000000000000000")
        assert funded["address"] == made["address"]
        assert "RewardMinter:ABC" in await guerdon(house, "contracts", "list")

        program = await house.program(asset_id=await house.value("select id from assets where symbol = 'ABC'"))
        booked = await read(house, "program", "fund", str(program), "--amount", "300")
        assert (booked["state"], booked["points"]) == ("booked", 300)
        (treasury,) = [one for one in await read(house, "treasury", "list") if one["asset"] == "ABC"]
        assert (treasury["balance"], treasury["free"], treasury["lowBalance"]) == ("300", "300", "10")

        asset = await house.value("select id from assets where symbol = 'ABC'")
        (payout,) = await house.owe(program, {await house.account(program): 40}, asset_id=asset)
        await house.until_states({"final": 1})
        (listed,) = await read(house, "payout", "list", "--program", str(program))
        assert (listed["id"], listed["state"], listed["status"], listed["final"]) == (str(payout), "final", "completed", True)
        story = await read(house, "payout", "show", str(payout))
        assert [batch["state"] for batch in story["batches"]] == ["paid"]


async def test_a_treasury_is_paused_limited_and_resumed(house: House) -> None:
    await guerdon(house, "treasury", "pause", "LTZ", "--reason", "audit")
    await guerdon(house, "treasury", "limit", "LTZ", "--amount", "50", "--seconds", "3600")
    (treasury,) = await read(house, "treasury", "list")
    assert (treasury["pauseReason"], treasury["periodLimit"], treasury["periodSeconds"]) == ("audit", "50", 3600)
    await guerdon(house, "treasury", "resume", "LTZ")
    await guerdon(house, "treasury", "limit", "LTZ")
    (treasury,) = await read(house, "treasury", "list")
    assert (treasury["pausedAt"], treasury["periodLimit"]) == (None, None)
    assert "treasury list" in await guerdon(house, "treasury", "pause", "NONE", "--reason", "x", fails=True)


async def test_s21_without_the_installations_name_nothing_is_sent_and_the_name_is_told(house: House) -> None:
    """The database's own name would do for a copy of it too, and both would pay."""
    remedy = f"set GUERDON_DEPLOYMENT_ID={house.deployment_id}"
    sent = await house.value("select count(*) from intents")
    told = await guerdon(house, "treasury", "fund", "LTZ", "--wei", "5", fails=True, GUERDON_DEPLOYMENT_ID="")
    assert remedy in told
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "guerdon", "worker", stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **settings_of(house), "GUERDON_DEPLOYMENT_ID": ""},
    )  # fmt: skip
    _, said = await asyncio.wait_for(worker.communicate(), 60)
    assert worker.returncode == 1
    assert remedy in said.decode()
    assert await house.value("select count(*) from intents where state <> 'queued'") == sent


async def test_a_quarantined_payout_is_found_retried_and_returned(house: House) -> None:
    asset, token = await house.moody_asset(stock=1_000)
    wallets = [a_wallet(), a_wallet()]
    await token.feel(Mood.REVERTS, *wallets)
    program = await house.stocked_program(asset, 1_000)
    async with house.working():
        accounts = [await house.account(program, wallet) for wallet in wallets]
        first, second = await house.owe(program, dict.fromkeys(accounts, 10), asset_id=asset)
        await house.until_states({"quarantined": 2})
        stuck = await read(house, "payout", "list", "--program", str(program), "--state", "quarantined")
        assert {one["id"] for one in stuck} == {str(first), str(second)}
        await token.feel(Mood.KIND, wallets[0])
        assert "retried" in await guerdon(house, "payout", "retry", str(first), "--program", str(program))
        assert "returned" in await guerdon(house, "payout", "return", str(second), "--program", str(program))
        await house.until_states({"final": 1, "returned": 1})
        assert "moves by itself" in await guerdon(house, "payout", "retry", str(first), fails=True)


async def test_networks_are_added_by_name_or_chain_id(house: House) -> None:
    assert "GUERDON_RPC_SONEIUM_MINATO" in await guerdon(house, "network", "add", "soneium-minato")
    await guerdon(house, "network", "add", "elsewhere", "--chain-id", "4242")
    assert "GUERDON_RPC_SOLANA_DEVNET" in await guerdon(house, "network", "add", "solana-devnet")
    assert "is a Solana" in await guerdon(house, "network", "add", "validator", "--solana")
    known = {one["name"]: (one["namespace"], one["chainId"]) for one in await read(house, "network", "list")}
    assert known == {
        "local": ("eip155", 31337), "soneium-minato": ("eip155", 1946), "elsewhere": ("eip155", 4242),
        "solana-devnet": ("solana", None), "validator": ("solana", None),
    }  # fmt: skip
    assert "no chain id" in await guerdon(house, "network", "add", "both", "--solana", "--chain-id", "1", fails=True)
    assert "--chain-id" in await guerdon(house, "network", "add", "nowhere", fails=True)
    assert "GUERDON_RPC_ELSEWHERE" in await guerdon(house, "contracts", "deploy", "--network", "elsewhere", fails=True)
