"""What facilitators send: signatures over raw bytes, replays, and bodies that are not what they should be."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from guerdon.activity.settlements import webhooks
from guerdon.activity.settlements.errors import InvalidWebhookError, StaleWebhookError, WebhookSignatureError
from guerdon.activity.settlements.models import SourceKind
from guerdon.kit import driver
from tests.activity.settlements.scene import Scene

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BODY = b'{"event": "payment.settled",  "transaction": {}}'
SECRET = "a" * 64
KEY = b"k" * 32
STANDARD = "whsec_" + base64.b64encode(KEY).decode()
DEVNET = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
HASH = "0x" + "ab" * 32


def hexed(secret: str, signed: bytes) -> str:
    return hmac.digest(secret.encode(), signed, "sha256").hex()


def standard(body: bytes, *, at: datetime = NOW, key: bytes = KEY, message: str = "msg_1") -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    signature = base64.b64encode(hmac.digest(key, f"{message}.{timestamp}.".encode() + body, "sha256")).decode()
    return {"webhook-id": message, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}


def x402layer(body: bytes, at: datetime = NOW) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    return {"x-x402-timestamp": timestamp, "x-x402-signature": hexed(SECRET, timestamp.encode() + b"." + body)}


def test_a_signature_over_the_raw_bytes_fits_and_over_the_same_json_written_otherwise_does_not() -> None:
    signed = {"x-webhook-signature": hexed(SECRET, BODY).upper()}
    webhooks.check_signature(SourceKind.OPENFACILITATOR, ["other", SECRET], signed, BODY, NOW)
    rewritten = json.dumps(json.loads(BODY)).encode()
    with pytest.raises(WebhookSignatureError):
        webhooks.check_signature(SourceKind.OPENFACILITATOR, [SECRET], signed, rewritten, NOW)


@pytest.mark.parametrize("kind", list(SourceKind))
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-webhook-signature": "", "webhook-id": "m", "webhook-timestamp": "1763726400", "webhook-signature": "v1,"},
        {"x-webhook-signature": "é" * 64, "x-x402-signature": "00", "x-x402-timestamp": "9" * 400},
        {"webhook-id": "m", "webhook-timestamp": "١٢٣", "webhook-signature": "v1,AAAA v2,BBBB"},
    ],
    ids=["none", "empty", "odd", "digits of another script"],
)
def test_a_forged_webhook_is_refused(kind: SourceKind, headers: dict[str, str]) -> None:
    secrets = [STANDARD] if kind in {SourceKind.X402, SourceKind.STANDARD_WEBHOOKS} else [SECRET]
    with pytest.raises(WebhookSignatureError):
        webhooks.check_signature(kind, secrets, headers, BODY, NOW)
    with pytest.raises(WebhookSignatureError):
        webhooks.check_signature(kind, [], headers, BODY, NOW)


def test_one_of_several_signatures_by_one_of_two_secrets_is_enough() -> None:
    headers = standard(BODY)
    headers["webhook-signature"] = f"v1,AAAA v1a,BBBB {headers['webhook-signature']}"
    other = "whsec_" + base64.b64encode(b"o" * 32).decode()
    webhooks.check_signature(SourceKind.STANDARD_WEBHOOKS, [other, STANDARD], headers, BODY, NOW)
    with pytest.raises(WebhookSignatureError):
        webhooks.check_signature(SourceKind.STANDARD_WEBHOOKS, [other], headers, BODY, NOW)
    with pytest.raises(WebhookSignatureError):
        webhooks.check_signature(SourceKind.STANDARD_WEBHOOKS, [STANDARD], {**headers, "webhook-id": "msg_2"}, BODY, NOW)


@pytest.mark.parametrize("kind", [SourceKind.STANDARD_WEBHOOKS, SourceKind.X402LAYER])
@pytest.mark.parametrize(("skew", "fresh"), [(299, True), (-299, True), (301, False), (-301, False)])
def test_clock_skew_of_five_minutes_is_taken_and_no_more(kind: SourceKind, skew: int, fresh: bool) -> None:
    at = NOW + timedelta(seconds=skew)
    headers = x402layer(BODY, at) if kind is SourceKind.X402LAYER else standard(BODY, at=at)
    secrets = [SECRET] if kind is SourceKind.X402LAYER else [STANDARD]
    if fresh:
        webhooks.check_signature(kind, secrets, headers, BODY, NOW)
    else:
        with pytest.raises(StaleWebhookError):
            webhooks.check_signature(kind, secrets, headers, BODY, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{", b'{"event": 5}', b'{"event": "payment.settled"}', b'{"event": "x", "transaction": "y"}',
        b'{"event": "payment.settled", "transaction": {"transactionHash": "0x"}}', b"\xff\xfe", b"[" * 200_000,
        b'{"type": "t", "data": {"settlements": {}}}',
        json.dumps({"type": "t", "data": {"settlements": [{"network": "base", "transaction": HASH}] * 201}}).encode(),
    ],
)  # fmt: skip
def test_a_body_that_is_none_is_refused_and_never_a_fault_of_ours(body: bytes) -> None:
    if body == b'{"event": "x", "transaction": "y"}':
        assert webhooks.read(SourceKind.OPENFACILITATOR, body).reports == []
        return
    with pytest.raises(InvalidWebhookError):
        webhooks.read(SourceKind.OPENFACILITATOR if b"data" not in body else SourceKind.X402, body)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (SourceKind.STANDARD_WEBHOOKS, {"type": "payment.settled", "data": {"network": "base", "txHash": HASH}}),
        (SourceKind.X402, {"type": "settlements.reported", "data": {"settlements": [{"network": "base", "transaction": HASH}]}}),
        (SourceKind.X402LAYER, {"event": "payment.succeeded", "data": {"network": "base", "tx_hash": HASH, "amount": "1.00"}}),
        (SourceKind.OPENFACILITATOR, {"event": "payment.settled", "transaction": {"network": "base", "transactionHash": HASH}}),
    ],
)
def test_each_kind_tells_network_and_transaction(kind: SourceKind, body: dict[str, Any]) -> None:
    (report,) = webhooks.read(kind, json.dumps(body).encode()).reports
    assert (report.network, report.transaction) == ("base", HASH)


def test_texts_that_can_not_be_stored_are_not_kept() -> None:
    told = {"network": "base", "transactionHash": HASH, "fromAddress": "a\x00b", "amount": "9" * 500, "asset": {"deep": []}}
    body = json.dumps({"event": "payment.settled", "transaction": told}).encode()
    (report,) = webhooks.read(SourceKind.OPENFACILITATOR, body).reports
    assert report.reported == {"event": "payment.settled", "payer": "ab", "amount": "9" * 64}


async def test_reports_come_in_over_http(scene: Scene, owner: driver.RawConnection) -> None:
    # A test is answered, and what anyone can have sent is never even kept.
    tested = await scene.post(scene.source, {"event": "webhook.test", "timestamp": "x"})
    assert (tested.status_code, tested.json()) == (200, {"event": "webhook.test", "accepted": 0, "ignored": []})
    product = {"event": "product.payment", "transaction": {"network": "local", "transactionHash": HASH}}
    assert (await scene.post(scene.source, product)).json()["accepted"] == 0
    forged = await scene.report(HASH, secret="f" * 64)
    assert (forged.status_code, forged.json()["code"]) == (401, "INVALID_WEBHOOK_SIGNATURE")
    assert await scene.hints() == []
    # What no network here has is answered, so that nobody sends it for ever.
    elsewhere = await scene.report(HASH, network="base")
    assert (elsewhere.status_code, elsewhere.json()["ignored"]) == (200, ["unknown_network"])
    commitment = await scene.report("channel-7")
    assert commitment.json()["ignored"] == ["no_transaction"]
    # Names of the network, and case, are no difference.
    for network, transaction in (("local", HASH), ("eip155:31337", HASH.upper().replace("0X", "0x"))):
        assert (await scene.report(transaction, network=network)).status_code == 202
    assert len(await scene.hints()) == 1
    assert await owner.fetchval("select count(*) from work where kind = 'settlements.prove' and due_at <= now()") == 1
    # A facilitator may call a network what it likes, for its own reports: here it knows no other cluster than that one.
    path = f"/sources/{scene.source['id']}"
    assert (await scene.admin("PATCH", path, {"networkNames": {DEVNET: "local"}}))["networkNames"] == {DEVNET: "local"}
    assert (await scene.report("0x" + "cd" * 32, network=DEVNET)).status_code == 202
    assert [hint.network for hint in await scene.hints()] == ["local", "local"]
    other = await scene.add_source()
    assert (await scene.report(HASH, source=other, network=DEVNET)).json()["ignored"] == ["unknown_network"]
    nothing = await scene.operator(
        "PATCH", f"/api/admin{path}", {"networkNames": {DEVNET: "mars"}}, X_Loyalteez_Brand_Id=scene.brand_id
    )
    assert (nothing.status_code, nothing.json()["code"]) == (400, "UNKNOWN_SETTLEMENT_NETWORK")
    too_large = await scene.api.client.post(scene.source["webhookPath"], content=b"x" * 300_000)
    assert (too_large.status_code, too_large.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
    nowhere = await scene.api.client.post("/webhooks/settlements/01a1fdef-b400-751e-9289-d658a22ff1c0", content=b"{}")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "SOURCE_NOT_FOUND")
    assert (await scene.api.client.post("/webhooks/settlements/x", content=b"{}")).status_code == 404


async def test_a_secret_is_shown_once_stored_sealed_and_two_are_valid_while_one_goes(
    scene: Scene, owner: driver.RawConnection
) -> None:
    first = scene.source["secret"]
    second = (await scene.admin("POST", f"/sources/{scene.source['id']}/secrets", {"secret": "whsec_" + "b" * 48}))["secret"]
    assert second == "whsec_" + "b" * 48
    for secret in (first, second):
        assert (await scene.report(HASH, secret=secret)).status_code == 202
    third = (await scene.admin("POST", f"/sources/{scene.source['id']}/secrets", {}))["secret"]
    assert [(await scene.report(HASH, secret=one)).status_code for one in (first, second, third)] == [401, 202, 202]
    last = (await scene.admin("POST", f"/sources/{scene.source['id']}/secrets", {"revokeOld": True}))["secret"]
    assert [(await scene.report(HASH, secret=one)).status_code for one in (second, third, last)] == [401, 401, 202]
    shown = json.dumps(await scene.admin("GET", "/sources"))
    stored = b"".join(bytes(row[0]) for row in await owner.fetch("select secret_encrypted from source_secrets"))
    for secret in (first, second, third, last):
        assert secret not in shown
        assert secret.encode() not in stored


async def test_a_source_that_is_off_or_is_only_read_takes_no_reports(scene: Scene) -> None:
    chain = await scene.add_source("chain")
    assert (chain["secret"], chain["webhookPath"], chain["readsChain"]) == (None, None, True)
    answer = await scene.api.client.post(f"/webhooks/settlements/{chain['id']}", content=b"{}")
    assert answer.json()["code"] == "SOURCE_TAKES_NO_REPORTS"
    await scene.admin("PATCH", f"/sources/{scene.source['id']}", {"enabled": False})
    assert (await scene.report(HASH)).json()["code"] == "SOURCE_DISABLED"


async def test_what_makes_no_sense_of_a_source_is_refused(scene: Scene) -> None:
    async def refused(**fields: Any) -> str:
        body = {"name": "x", "kind": "chain", **fields}
        answer = await scene.operator("POST", "/api/admin/sources", body, X_Loyalteez_Brand_Id=scene.brand_id)
        return str(answer.json().get("code"))

    assert await refused(signers={"local": ["0x12" + "0" * 36 + "zz"]}) == "INVALID_SIGNER"
    assert await refused(signers={"base": [scene.facilitator.address]}) == "UNKNOWN_SETTLEMENT_NETWORK"
    assert await refused(location="/etc/passwd") == "INVALID_SOURCE_LOCATION"
    assert await refused(kind="sqlite") == "INVALID_SOURCE_LOCATION"
    assert await refused(kind="sqlite", location="../x.db") == "INVALID_SOURCE_LOCATION"
    assert await refused(kind="standard_webhooks", secret="not base64 at all!".replace(" ", "_")) == "INVALID_REQUEST"
    own = await scene.api.operator_of({"brandId": scene.brand_id})
    for kind, location in (("sqlite", "/etc/facilitator.db"), ("postgres", "postgresql://127.0.0.1/guerdon")):
        answer = await own("POST", "/api/admin/sources", {"name": "x", "kind": kind, "location": location})
        assert (answer.status_code, answer.json()["code"]) == (403, "PLATFORM_ONLY")
    asset = {"network": "local", "address": scene.token, "symbol": "X", "decimals": 1}
    for method, path, sent in (("PUT", "", asset), ("POST", "/presets/local", None), ("DELETE", f"/local/{scene.token}", None)):
        assert (await own(method, f"/api/admin/settlement-assets{path}", sent)).status_code == 403
