"""Logs: their shape, and what never gets into them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from guerdon.kit.logging import HIDDEN, configure_logging
from guerdon.kit.secrets import new_token


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, object]]]]:
    stream = io.StringIO()
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    configure_logging("INFO", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_an_event_is_one_line_of_json_with_its_fields(logged: Callable[[], list[dict[str, object]]]) -> None:
    structlog.stdlib.get_logger("guerdon.test").info("event.booked", points=25, program_id="p")
    (line,) = logged()
    assert (line["event"], line["points"], line["level"], line["logger"]) == ("event.booked", 25, "info", "guerdon.test")
    assert str(line["timestamp"]).endswith("Z")


def test_the_standard_library_logs_the_same_way(logged: Callable[[], list[dict[str, object]]]) -> None:
    logging.getLogger("uvicorn.error").warning("listening on %s", "postgresql://app:hunter2@db/guerdon")
    (line,) = logged()
    assert line["event"] == f"listening on postgresql://app:{HIDDEN}@db/guerdon"


def test_below_the_level_nothing_is_written(logged: Callable[[], list[dict[str, object]]]) -> None:
    structlog.stdlib.get_logger("guerdon.test").debug("detail")
    assert logged() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"security_key": "hunter2"},
        {"private_key": "hunter2"},
        {"Authorization": "hunter2"},
        {"headers": {"X-Loyalteez-Signature": "hunter2"}},
        {"settings": {"database": {"password": "hunter2"}}},
        {"items": [{"token": "hunter2"}]},
        {"url": "redis://:hunter2@cache:6379/0"},
        {"note": "sent Authorization: Bearer hunter2hunter2"},
        {"raw": "hunter2"},
        {"anything": b"hunter2"},
        {"error": ValueError("cannot reach postgresql://app:hunter2@db/guerdon")},
        {"deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": "hunter2"}}}}}}}},
    ],
)
def test_secrets_do_not_get_into_logs(logged: Callable[[], list[dict[str, object]]], fields: dict[str, object]) -> None:
    structlog.stdlib.get_logger("guerdon.test").info("thing", **fields)
    assert "hunter2" not in json.dumps(logged())


def test_our_own_tokens_are_known_by_their_look(logged: Callable[[], list[dict[str, object]]]) -> None:
    token = new_token("gk_")
    structlog.stdlib.get_logger("guerdon.test").info("thing", note=f"the key {token} was sent")
    assert logged()[0]["note"] == f"the key gk_{HIDDEN} was sent"


def test_a_secret_in_an_exception_is_hidden_too(logged: Callable[[], list[dict[str, object]]]) -> None:
    try:
        raise ConnectionError("postgresql://app:hunter2@db/guerdon")
    except ConnectionError:
        structlog.stdlib.get_logger("guerdon.test").exception("database.unreachable")
    written = json.dumps(logged())
    assert "ConnectionError" in written
    assert "hunter2" not in written


def test_what_is_no_secret_is_left_readable(logged: Callable[[], list[dict[str, object]]]) -> None:
    structlog.stdlib.get_logger("guerdon.test").info("x", token_address="0xabc", key_id="7", count=3, ok=True, nothing=None)
    line = logged()[0]
    assert (line["token_address"], line["key_id"], line["count"], line["ok"], line["nothing"]) == ("0xabc", "7", 3, True, None)


def test_a_terminal_gets_text(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    configure_logging("INFO", "console", stream)
    structlog.stdlib.get_logger("guerdon.test").info("event.booked", points=25)
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()
    assert "event.booked" in stream.getvalue()
    assert "points=25" in stream.getvalue()


def test_an_exception_is_logged_without_the_values_of_its_frames(logged: Callable[[], list[dict[str, object]]]) -> None:
    shown = "bd2350" * 10
    try:
        raise ValueError(len(shown))
    except ValueError:
        structlog.stdlib.get_logger("guerdon.test").exception("key.lost")
    (line,) = logged()
    assert "ValueError" in json.dumps(line["exception"])
    assert shown not in json.dumps(line)
