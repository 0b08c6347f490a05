"""`guerdon.x402` alone: what it keeps, that it never gets in the way, that nothing is lost by a kill."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from guerdon import x402

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
HASH = "0x" + "ab" * 32
NETWORK = "eip155:8453"
REQUIREMENTS = {"scheme": "exact", "network": NETWORK, "amount": "1000", "pay_to": "0xshop", "asset": "0xusdc"}


@dataclass
class Received:
    """What a source was told, and how it answers."""

    statuses: list[int] = field(default_factory=list[int])
    settlements: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    calls: int = 0
    url: str = ""


@contextmanager
def a_source(*statuses: int) -> Iterator[Received]:
    """A server that checks signatures and answers with these statuses, then with 202."""
    received = Received(list(statuses))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
            wanted = "v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
            received.calls += 1
            status = received.statuses.pop(0) if received.statuses else 202
            if self.headers["webhook-signature"] != wanted:
                status = 401
            if status == 202:
                received.settlements += json.loads(body)["data"]["settlements"]
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    received.url = f"http://127.0.0.1:{server.server_port}/webhooks/settlements/x"
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(success: bool = True, transaction: str = HASH, **fields: Any) -> dict[str, Any]:
    return {"success": success, "transaction": transaction, "network": NETWORK, "payer": "0xann", **fields}


class Sync:
    """A facilitator as far as it matters here."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def settle(self, payload: Any, requirements: Any) -> Any:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Async(Sync):
    async def settle(self, payload: Any, requirements: Any) -> Any:  # type: ignore[override]
        return super().settle(payload, requirements)


def until(true: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_imports_nothing_of_the_rest_of_guerdon() -> None:
    code = "import sys; import guerdon.x402; print([m for m in sys.modules if m.startswith('guerdon.') and m != 'guerdon.x402'])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


async def test_sync_and_async_facilitators_answer_as_before_and_are_reported(tmp_path: Path) -> None:
    with a_source() as source:
        reports = x402.Reports(source.url, SECRET, tmp_path / "outbox")
        assert reports.of(Sync(answer())).settle({"x402Version": 1}, REQUIREMENTS) == answer()
        result = answer(transaction="0x" + "cd" * 32)
        assert await reports.of(Async(result)).settle({"accepted": {"scheme": "exact"}}, requirements=REQUIREMENTS) == result
        await asyncio.to_thread(reports.close)
        assert reports.waiting() == 0
    assert [(one["event"], one["transaction"], one["amount"]) for one in source.settlements] == [
        ("settled", HASH, "1000"),
        ("settled", "0x" + "cd" * 32, "1000"),
    ]


def test_a_pending_or_failed_settlement_is_kept_with_its_hash(tmp_path: Path) -> None:
    with a_source() as source:
        reports = x402.Reports(source.url, SECRET, tmp_path / "outbox")
        reports.of(Sync(answer(success=False, error_reason="settlement_pending"))).settle({}, REQUIREMENTS)
        reports.of(Sync(answer(success=False, error_reason="timeout"))).settle({}, REQUIREMENTS)
        reports.close()
    assert [(one["event"], one["status"]) for one in source.settlements] == [
        ("pending", "settlement_pending"),
        ("failed", "timeout"),
    ]


@pytest.mark.parametrize(
    ("result", "requirements"),
    [
        (answer(transaction=""), REQUIREMENTS),
        (answer(transaction="commitment"), {**REQUIREMENTS, "scheme": "batch-settlement"}),
        (None, None),
        ("rubbish", object()),
    ],
)
def test_where_no_transaction_came_of_it_nothing_is_kept(tmp_path: Path, result: Any, requirements: Any) -> None:
    reports = x402.Reports("http://127.0.0.1:9/x", SECRET, tmp_path / "outbox")
    assert reports.of(Sync(result)).settle({}, requirements) == result
    assert reports.waiting() == 0
    reports.close(0.1)


def test_a_hook_that_raises_after_the_money_moved_does_not_lose_the_payment(tmp_path: Path) -> None:
    class Hooked(Sync):
        hooks: list[Any]

        def on_after_settle(self, hook: Any) -> None:
            self.hooks = [hook, self.burst]

        def burst(self, context: Any) -> None:
            raise RuntimeError("somebody else's hook")

        def settle(self, payload: Any, requirements: Any) -> Any:
            for hook in self.hooks:
                hook({"result": self.result})

    reports = x402.Reports("http://127.0.0.1:9/x", SECRET, tmp_path / "outbox")
    with pytest.raises(RuntimeError, match="somebody else's hook"):
        reports.of(Hooked(answer())).settle({}, REQUIREMENTS)
    assert reports.waiting() == 1
    reports.close(0.1)


def test_a_disk_that_takes_nothing_never_shows_in_settle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reports = x402.Reports("http://127.0.0.1:9/x", SECRET, tmp_path / "no" / "such" / "folder" / "outbox")
    assert reports.of(Sync(answer())).settle({}, REQUIREMENTS) == answer()
    assert "could not be kept" in caplog.text
    reports.close(0.1)


def test_an_error_of_the_facilitator_stays_its_own(tmp_path: Path) -> None:
    reports = x402.Reports("http://127.0.0.1:9/x", SECRET, tmp_path / "outbox")
    with pytest.raises(ValueError, match="no such scheme"):
        reports.of(Sync(ValueError("no such scheme"))).settle({}, REQUIREMENTS)
    reports.close(0.1)


def test_reports_are_sent_again_until_they_arrive(tmp_path: Path) -> None:
    with a_source(500, 429, 401) as source:
        reports = x402.Reports(source.url, SECRET, tmp_path / "outbox")
        reports.of(Sync(answer())).settle({}, REQUIREMENTS)
        until(lambda: source.settlements, 20)
        until(lambda: reports.waiting() == 0)
        reports.close()
    assert source.calls == 4
    assert len(source.settlements) == 1


def test_what_would_be_refused_for_ever_is_given_up(tmp_path: Path) -> None:
    with a_source(400) as source:
        reports = x402.Reports(source.url, SECRET, tmp_path / "outbox")
        reports.of(Sync(answer())).settle({}, REQUIREMENTS)
        until(lambda: reports.waiting() == 0)
        reports.close()
    assert (source.calls, source.settlements) == (1, [])


def test_one_report_that_is_refused_for_ever_takes_no_other_along(tmp_path: Path) -> None:
    kept = x402.Reports("http://127.0.0.1:9/x", SECRET, tmp_path / "outbox")
    for number in range(3):
        kept.of(Sync(answer(transaction=f"0x{number:064x}"))).settle({}, REQUIREMENTS)
    kept.close()
    with a_source(400, 400) as source:
        reports = x402.Reports(source.url, SECRET, tmp_path / "outbox")
        until(lambda: reports.waiting() == 0, 20)
        reports.close()
    assert [one["transaction"][-1] for one in source.settlements] == ["1", "2"]


def test_an_outbox_that_is_full_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x402, "MAX_ROWS", 3)
    reports = x402.Reports("http://127.0.0.1:9/x", SECRET, tmp_path / "outbox")
    for number in range(5):
        reports.of(Sync(answer(transaction=f"0x{number:064x}"))).settle({}, REQUIREMENTS)
    assert reports.waiting() == 3
    reports.close(0.1)


def test_a_new_file_that_another_process_writes_to_takes_the_report_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "outbox"
    with sqlite3.connect(file, isolation_level=None, check_same_thread=False) as other:
        other.execute("begin immediate")
        other.execute("create table theirs (id integer)")
        ending = threading.Timer(0.3, other.execute, ["commit"])
        ending.start()
        reports = x402.Reports("http://127.0.0.1:9/x", SECRET, file)
        reports.of(Sync(answer())).settle({}, REQUIREMENTS)
        assert reports.waiting() == 1
        ending.join()
    reports.close(0.1)


def test_what_was_kept_survives_a_kill_and_arrives_after_the_next_start(tmp_path: Path) -> None:
    code = f"""
import os, signal
from guerdon import x402
class F:
    def settle(self, payload, requirements):
        return {answer()!r}
f = x402.report(F(), url="http://127.0.0.1:9/x", secret={SECRET!r}, outbox={str(tmp_path / "outbox")!r})
f.settle({{}}, {REQUIREMENTS!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with a_source() as source:
        reports = x402.Reports(source.url, SECRET, tmp_path / "outbox")
        assert reports.waiting() == 1
        # Whoever had them in hand was killed: what it had taken is free again after a while.
        with reports._opened() as database:
            database.execute("update outbox set due_at = 0")
        reports._wake.set()
        until(lambda: source.settlements)
        reports.close()
    assert [one["transaction"] for one in source.settlements] == [HASH]


def test_many_threads_report_at_once(tmp_path: Path) -> None:
    with a_source() as source:
        reports = x402.Reports(source.url, SECRET, tmp_path / "outbox")

        def some(number: int) -> None:
            for place in range(10):
                reports.of(Sync(answer(transaction=f"0x{number * 100 + place:064x}"))).settle({}, REQUIREMENTS)

        threads = [threading.Thread(target=some, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: reports.waiting() == 0, 20)
        reports.close()
    assert len({one["transaction"] for one in source.settlements}) == 80


@pytest.mark.parametrize(("url", "secret"), [("", SECRET), ("ftp://x", SECRET), ("http://x", "short"), ("http://x", "whsec_é")])
def test_an_address_or_a_secret_that_can_not_be_one_is_told_at_the_start(tmp_path: Path, url: str, secret: str) -> None:
    with pytest.raises(ValueError, match="the source's"):
        x402.report(Sync(None), url=url, secret=secret, outbox=tmp_path / "outbox")
