"""The command line on a real database: every group does what it says, prints JSON, and tells what to do when it can't."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from guerdon.cli.main import app
from tests.support.api import SECRET_KEY, add_asset
from tests.support.postgres import Urls

Guerdon = Callable[..., Result]


@pytest.fixture
def guerdon(database_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guerdon:
    """Runs a command on the test's database; a failure that the test did not ask for is one of the test."""
    import asyncio

    from guerdon.kit.database import Database

    async def asset() -> None:
        database = Database(database_urls.app)
        await add_asset(database)
        await database.close()

    asyncio.run(asset())
    for name in os.environ:
        if name.startswith(("GUERDON_", "DATABASE_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_urls.app)
    monkeypatch.setenv("GUERDON_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("GUERDON_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, result.output
        return result

    return run


def shown(result: Result) -> Any:
    return json.loads(result.stdout)


def test_a_program_is_made_shown_changed_and_listed(guerdon: Guerdon) -> None:
    assert "no program yet" in guerdon("program", "list").stdout
    made = shown(
        guerdon("program", "create", "--name", "Acme", "--domain", "Shop.example.com", "--domain", "*.acme.example", "--json")
    )
    assert made["domains"] == ["*.acme.example", "shop.example.com"]
    assert len(made["securityKey"]) == 64
    assert shown(guerdon("program", "show", "--json"))["brandId"] == made["brandId"]
    changed = shown(
        guerdon(
            "program", "update", made["brandId"], "--no-automation", "--browser-cap-ip", "none", "--gas-budget-wei", "5", "--json"
        )
    )
    assert (changed["automationEnabled"], changed["browserCapIp"], changed["gasBudgetWei"]) == (False, None, "5")
    assert [program["name"] for program in shown(guerdon("program", "list", "--json"))] == ["Acme"]
    assert made["brandId"] in guerdon("program", "list").stdout
    assert made["securityKey"] not in guerdon("program", "show").stdout


def test_a_security_key_is_rotated_and_revoked(guerdon: Guerdon) -> None:
    made = shown(guerdon("program", "create", "--name", "Acme", "--json"))
    rotated = shown(guerdon("program", "key", "rotate", "--grace-hours", "1", "--json"))
    assert rotated["securityKey"] != made["securityKey"]
    keys = shown(guerdon("program", "key", "list", "--json"))
    assert [key["expiresAt"] is None for key in keys] == [False, True]
    assert "signs no more" in guerdon("program", "key", "revoke", made["securityKeyId"]).stdout
    refused = guerdon("program", "key", "revoke", rotated["id"], code=1)
    assert "rotate" in refused.stderr


def test_domains_are_added_and_removed(guerdon: Guerdon) -> None:
    guerdon("program", "create", "--name", "Acme")
    guerdon("program", "domain", "add", "a.example.com")
    assert shown(guerdon("program", "show", "--json"))["domains"] == ["a.example.com"]
    guerdon("program", "domain", "remove", "a.example.com")
    assert "error:" in guerdon("program", "domain", "remove", "a.example.com", code=1).stderr
    assert "address; give only its host" in guerdon("program", "domain", "add", "https://a.example.com", code=1).stderr


def test_a_rule_is_made_changed_switched_and_deleted(guerdon: Guerdon) -> None:
    guerdon("program", "create", "--name", "Acme")
    made = shown(
        guerdon("rule", "set", "purchase", "--reward", "1", "--per", "100", "--field", "amount_cents", "--min", "500", "--json")
    )
    assert made["reward"] == {"field": "amount_cents", "unit": 100, "reward": 1, "min": 500, "max": None}
    changed = shown(guerdon("rule", "set", "purchase", "--max-claims-per-user", "999999", "--cooldown-hours", "2", "--json"))
    assert (changed["maxClaimsPerUser"], changed["cooldownHours"], changed["reward"]["unit"]) == (-1, 2, 100)
    assert "1 per 100 amount_cents" in guerdon("rule", "list").stdout
    guerdon("rule", "disable", "purchase")
    assert shown(guerdon("rule", "show", "purchase", "--json"))["enabled"] is False
    guerdon("rule", "enable", "purchase")
    guerdon("rule", "delete", "purchase")
    assert "rule list" in guerdon("rule", "show", "purchase", code=1).stderr
    custom = shown(guerdon("rule", "set", "--custom", "--reward", "5", "--name", "Easter egg", "--browsers", "--json"))
    assert custom["eventType"].startswith("custom_")
    assert custom["openToBrowsers"] is True
    capped = shown(guerdon("rule", "set", "form_submit", "--daily-cap-ip", "none", "--channel", "#a", "--channel", "b", "--json"))
    assert (capped["dailyCapIp"], capped["channels"]) == (None, ["#a", "b"])
    assert shown(guerdon("rule", "set", "form_submit", "--any-channel", "--json"))["channels"] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rule", "set", "purchase"), "reward"),
        (("rule", "set", "--reward", "1"), "--custom"),
        (("rule", "set", "purchase", "--reward", "1", "--per", "100"), "--field amount_cents"),
        (("rule", "set", "purchase", "--reward", "1", "--per", "100", "--field", "cents", "--browsers"), "openToBrowsers"),
        (("rule", "set", "visit", "--reward", "1", "--category", "Fun"), "category"),
        (("rule", "set", "visit", "--reward", "1", "--detection", "{"), "url_pattern"),
        (("rule", "set", "a-b", "--reward", "1"), "event-type"),
        (("rule", "set", "visit", "--reward", "9", "--daily-cap-ip", "5"), "dailyCapIp"),
        (("rule", "list", "--program", "0x12"), "40 hexadecimal digits"),
        (("rule", "list", "--program", "0x" + "9" * 40), "guerdon program list"),
        (("program", "create", "--name", "x", "--brand-id", "zz"), "brand-id"),
        (("program", "create", "--name", "x", "--asset", "XYZ"), "guerdon asset list"),
        (("alert", "resolve", "zz"), "copy it from the list"),
        (("admin-key", "revoke", "01a1fdef-b400-751e-9289-d658a22ff1c0"), "no admin key"),
        (("event", "show", "01a1fdef-b400-751e-9289-d658a22ff1c0"), "event"),
        (("openapi", "--role", "kitchen"), "events"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_told_in_a_sentence(guerdon: Guerdon, arguments: tuple[str, ...], told: str) -> None:
    guerdon("program", "create", "--name", "Acme")
    result = guerdon(*arguments, code=1)
    assert result.stderr.startswith("error: ")
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_the_program_must_be_named_where_there_are_two(guerdon: Guerdon) -> None:
    first = shown(guerdon("program", "create", "--name", "One", "--json"))
    guerdon("program", "create", "--name", "Two")
    assert "error:" in guerdon("rule", "list", code=1).stderr
    assert len(shown(guerdon("rule", "list", "--program", first["brandId"].upper().replace("0X", "0x"), "--json"))) == 6


def test_admin_keys_are_made_listed_and_revoked(guerdon: Guerdon) -> None:
    program = shown(guerdon("program", "create", "--name", "Acme", "--json"))
    own = shown(guerdon("admin-key", "create", "--name", "robot", "--program", program["brandId"], "--json"))
    platform = shown(guerdon("admin-key", "create", "--name", "operator", "--platform", "--json"))
    assert own["token"].startswith("gk_")
    assert (own["role"], platform["role"]) == ("program", "platform")
    guerdon("admin-key", "revoke", own["id"])
    listed = {key["name"]: key["revokedAt"] is not None for key in shown(guerdon("admin-key", "list", "--json"))}
    assert listed == {"robot": True, "operator": False}
    assert own["token"] not in guerdon("admin-key", "list").stdout


def test_alerts_are_listed_with_what_to_do_and_closed(guerdon: Guerdon, database_urls: Urls) -> None:
    import asyncio

    from guerdon.kit import outbox
    from guerdon.kit.database import Database

    async def raise_one() -> None:
        database = Database(database_urls.app)
        async with database.platform() as session:
            await outbox.raise_alert(
                session, "treasury.low", "LTZ", severity=outbox.Severity.WARNING, message="LTZ is low", remedy="Send more."
            )
        await database.close()

    assert "All is well" in guerdon("alert", "list").stdout
    asyncio.run(raise_one())
    table = guerdon("alert", "list").stdout
    assert "LTZ is low" in table
    assert "Send more." in table
    [alert] = shown(guerdon("alert", "list", "--json"))
    assert "LTZ is low" in guerdon("alert", "resolve", alert["id"]).stdout
    assert shown(guerdon("alert", "list", "--json")) == []
    assert len(shown(guerdon("alert", "list", "--all", "--json"))) == 1


def test_empty_books_are_consistent(guerdon: Guerdon) -> None:
    guerdon("program", "create", "--name", "Acme")
    told = shown(guerdon("ledger", "verify", "--json"))
    assert (told["consistent"], told["programs"], told["findings"]) == (True, 1, [])
    assert "consistent" in guerdon("ledger", "verify").stdout


def test_books_that_do_not_agree_are_told_by_the_exit_code(guerdon: Guerdon, database_urls: Urls) -> None:
    import asyncio

    from guerdon.kit import driver

    program = shown(guerdon("program", "create", "--name", "Acme", "--json"))

    async def falsify() -> None:
        connection = await driver.connect(database_urls.superuser)
        await connection.execute(
            "insert into program_balances (program_id, asset_id, funded, funds) select $1::uuid, id, 5, 5 from assets",
            program["id"],
        )
        await connection.close()

    asyncio.run(falsify())
    told = shown(guerdon("ledger", "verify", "--json", code=1))
    assert told["consistent"] is False
    assert told["findings"]
    assert "program balances" in guerdon("ledger", "verify", code=1).stdout


def test_events_are_listed_with_what_they_earned(guerdon: Guerdon) -> None:
    guerdon("program", "create", "--name", "Acme")
    assert "manual-event" in guerdon("event", "list").stdout
    assert shown(guerdon("event", "list", "--user", "anna@example.org", "--json")) == []
    assert "error:" in guerdon("event", "list", "--user", "nobody", code=1).stderr


def test_without_an_installation_it_is_told_how_to_start_one(
    guerdon: Guerdon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    result = guerdon("program", "list", "--data-dir", str(tmp_path / "nothing"), code=1)
    assert "guerdon up" in result.stderr
    assert not (tmp_path / "nothing").exists()


def test_another_secret_key_than_the_databases_is_told(guerdon: Guerdon, monkeypatch: pytest.MonkeyPatch) -> None:
    guerdon("program", "list")
    monkeypatch.setenv("GUERDON_SECRET_KEY", "02" * 32)
    assert "GUERDON_SECRET_KEY" in guerdon("program", "list", code=1).stderr


def test_a_signing_key_is_listed_without_its_secret_paused_and_not_resumed_without_its_chain(
    guerdon: Guerdon, database_urls: Urls
) -> None:
    import asyncio

    from guerdon.kit.database import Database
    from guerdon.kit.secrets import KeyRing, MasterKey
    from guerdon.txmanager import service_keys
    from guerdon.txmanager.models import KeyPurpose
    from guerdon.txmanager.signer import Signer

    async def make() -> str:
        database = Database(database_urls.app)
        async with database.platform() as session:
            await service_keys.set_network(session, name="base", chain_id=8453)
            key = await service_keys.create_key(session, Signer(KeyRing(MasterKey.generate())), "base", KeyPurpose.TREASURY)
        await database.close()
        return key.address

    assert "no key yet" in guerdon("key", "list").stdout
    address = asyncio.run(make())
    (listed,) = shown(guerdon("key", "list", "--json"))
    assert (listed["address"], listed["nextNonce"], listed["pausedAt"]) == (address, 0, None)
    assert not {name for name in listed if "secret" in name.lower()}
    assert "paused: leaked" in guerdon("key", "pause", address.lower(), "--reason", "leaked").stdout
    assert "leaked" in guerdon("key", "list").stdout
    assert "needs a reason" in guerdon("key", "resume", address, "--force", code=1).stderr
    guerdon("key", "resume", address, code=1)
    guerdon("key", "import", listed["id"], code=1)
    assert shown(guerdon("key", "list", "--json"))[0]["pauseReason"] == "leaked"
    assert "there is no key" in guerdon("key", "pause", "0x00", "--reason", "x", code=1).stderr


def test_a_campaign_is_made_published_changed_simulated_and_ended(guerdon: Guerdon, tmp_path: Path) -> None:
    guerdon("program", "create", "--name", "Acme")
    assert "There is no campaign" in guerdon("campaign", "list").stdout
    options = ("--type", "multiplier", "--multiplier", "2", "--max-budget-points", "500", "--end-at", "2099-01-01", "--json")
    made = shown(guerdon("campaign", "create", "Double week", *options))
    assert (made["state"], made["config"]["multiplier"], made["config"]["max_budget_points"]) == ("draft", 2.0, "500")
    assert shown(guerdon("campaign", "publish", made["id"], "--json"))["active"] is True
    changed = shown(guerdon("campaign", "update", made["id"], "--config", '{"multiplier": "2.5"}', "--json"))
    assert (changed["version"], changed["config"]["multiplier"]) == (2, 2.5)
    assert shown(guerdon("campaign", "pause", made["id"], "--json"))["state"] == "paused"
    assert shown(guerdon("campaign", "resume", made["id"], "--json"))["state"] == "published"
    assert "Double week" in guerdon("campaign", "list").stdout
    simulated = shown(guerdon("campaign", "simulate", made["id"], "--since", "2026-01-01", "--until", "2026-02-01", "--json"))
    assert (simulated["cost_points"], simulated["days"]) == ("0", [])
    file = tmp_path / "campaign.json"
    file.write_text(json.dumps({name: made[name] for name in ("name", "type", "config", "start_at", "end_at")}), encoding="utf-8")
    assert "paid nobody" in guerdon("campaign", "simulate", "--file", str(file)).stdout
    draft = shown(guerdon("campaign", "create", "--file", str(file), "--json"))
    guerdon("campaign", "delete", draft["id"])
    assert "ended, not deleted" in guerdon("campaign", "delete", made["id"], code=1).stderr
    assert shown(guerdon("campaign", "end", made["id"], "--json"))["state"] == "ended"
    assert "multiplier" in guerdon("campaign", "create", "None", "--type", "multiplier", "--end-at", "2099-01-01", code=1).stderr


def test_terms_of_volume_are_shown_and_refused_in_an_asset_that_is_not_claimed(guerdon: Guerdon) -> None:
    guerdon("program", "create", "--name", "Acme")
    assert shown(guerdon("volume", "show", "--json"))["unit_micro_usd"] == "10000"
    assert "platinum from 100000000000" in guerdon("volume", "show").stdout
    assert "on_claim" in guerdon("volume", "set", "--points-per-unit", "2", code=1).stderr


def test_addresses_are_listed_and_approved(guerdon: Guerdon) -> None:
    guerdon("program", "create", "--name", "Acme")
    assert "There is no such address." in guerdon("address", "list", "--unproven").stdout
    missing = guerdon("address", "approve", "01a1fdef-b400-751e-9289-d658a22ff1c0", "--reason", "by phone", code=1)
    assert "has no address of this id" in missing.output
