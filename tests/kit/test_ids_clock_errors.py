"""Ids, the clock, and how errors are told."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from guerdon.kit.clock import FixedClock, SystemClock
from guerdon.kit.errors import GuerdonError, NotFoundError, RateLimitedError, registered_errors, render, response_headers
from guerdon.kit.ids import parse_uuid, uuid7, uuid7_batch


def test_ids_grow_and_never_repeat() -> None:
    ids = [uuid7(), *uuid7_batch(50_000), uuid7()]
    assert ids == sorted(set(ids))
    assert {made.version for made in ids} == {7}


def test_ids_carry_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7().int >> 80
    assert before <= made <= time.time_ns() // 1_000_000 + 1


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("01890a5d-ac96-774b-bcce-b302099a8057", True),
        ("01890A5D-AC96-774B-BCCE-B302099A8057", True),
        ("{01890a5d-ac96-774b-bcce-b302099a8057}", False),
        ("urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057", False),
        ("01890a5dac96774bbcceb302099a8057", False),
        ("01890a5da-c96-774b-bcce-b302099a8057", False),
        ("01890a5d-ac96-774b-bcce-b302099a805g", False),
        ("", False),
        (7, False),
        (None, False),
        (UUID(int=7), True),
    ],
)
def test_an_id_from_outside_has_one_spelling(text: object, is_one: bool) -> None:
    assert (parse_uuid(text) is not None) is is_one


def test_clocks_tell_utc() -> None:
    assert SystemClock().now().tzinfo is UTC
    clock = FixedClock(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    assert clock.advance(timedelta(days=1)) == clock.now() == datetime(2026, 1, 2, tzinfo=UTC)
    clock.set(datetime(2025, 1, 1, tzinfo=UTC))
    assert clock.now().year == 2025


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        FixedClock(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_an_error_is_rendered_with_its_stable_code() -> None:
    error = NotFoundError("No event with this id.", details=["id"])
    assert render(error, "r-1") == {
        "error": "Not found",
        "message": "No event with this id.",
        "code": "NOT_FOUND",
        "details": ["id"],
        "requestId": "r-1",
    }
    assert "details" not in render(NotFoundError(), "r-1")


def test_an_errors_docstring_is_its_default_message() -> None:
    assert RateLimitedError().message == "Too many requests; wait for the time given in `Retry-After`."


def test_waiting_is_told_in_a_header() -> None:
    assert response_headers(RateLimitedError(retry_after=7)) == {"Retry-After": "7"}
    assert response_headers(NotFoundError()) == {}


def test_codes_are_unique() -> None:
    with pytest.raises(TypeError, match="NOT_FOUND"):

        class AnotherError(GuerdonError, status=404, code="NOT_FOUND", title="Not found"):  # pyright: ignore[reportUnusedClass]
            """A second class for one code."""

    codes = [error.code for error in registered_errors()]
    assert len(codes) == len(set(codes))


def test_an_error_without_a_docstring_is_refused() -> None:
    with pytest.raises(TypeError, match="docstring"):

        class SilentError(GuerdonError, status=400, code="SILENT", title="Silent"):  # pyright: ignore[reportUnusedClass]
            pass
