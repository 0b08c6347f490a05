"""`POST /loyalteez-api/bulk-events`: up to 100 events as JSON or 10,000 as NDJSON, each with its own result.

Each goes the way of a single event (same proofs, same decision, same write), in batches that are larger.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from guerdon.activity import keys
from guerdon.activity.authentication import Proof
from guerdon.activity.batcher import Settle
from guerdon.activity.calls import NDJSON, Answer, Call, Headers, Receive, encode, error_body, read_body
from guerdon.activity.counts import count_refused
from guerdon.activity.errors import TooManyEventsError
from guerdon.activity.reception import EventAnswer, Reception, event_answer, submission_of
from guerdon.activity.schemas import ReportBody, decode_object, invalid_event, parse_key, parse_report
from guerdon.activity.submissions import Outcome, Submission
from guerdon.kit.errors import GuerdonError, PayloadTooLargeError, UnavailableError

MAX_JSON_EVENTS: Final = 100
MAX_NDJSON_EVENTS: Final = 10_000
MAX_JSON_BYTES: Final = 1024 * 1024
MAX_LINE_BYTES: Final = 64 * 1024
_LINES_A_TURN: Final = 200
"""Lines that are read before others get their turn."""

Result = EventAnswer | dict[str, Any]
Entry = tuple[Submission, Settle]


class BulkAnswer(msgspec.Struct):
    """What is answered to a bulk: `success` says whether every event was accepted; results are in the order of the events."""

    success: bool
    processed: int
    failed: int
    results: list[Result]


class _Results:
    """Collects the outcomes of a bulk's events, in whatever order they are settled."""

    def __init__(self, size: int, request_id: str) -> None:
        self._request_id = request_id
        self._results: list[Result | None] = [None] * size
        self._open = size
        self._failed = 0
        self._complete = asyncio.Event()

    def settle(self, line: int, outcome: Outcome) -> None:
        if isinstance(outcome, GuerdonError):
            count_refused(outcome)
            self._failed += 1
            self._results[line] = {"success": False, **error_body(outcome, self._request_id)}
        else:
            self._results[line] = event_answer(outcome)
        self._open -= 1
        if not self._open:
            self._complete.set()

    def settle_for(self, line: int) -> Settle:
        """What settles the event of this line."""
        return lambda outcome: self.settle(line, outcome)

    async def answer(self) -> BulkAnswer:
        """The answer, once every event has its outcome."""
        if self._open:
            await self._complete.wait()
        results = [result for result in self._results if result is not None]
        return BulkAnswer(self._failed == 0, len(results) - self._failed, self._failed, results)


async def answer_bulk(reception: Reception, call: Call, receive: Receive) -> Answer:
    """A bulk, from its bytes to its answer."""
    if reception.bulk_slots.locked():
        raise UnavailableError(retry_after=2)
    async with reception.bulk_slots:
        return await _answer(reception, call, receive)


async def _answer(reception: Reception, call: Call, receive: Receive) -> Answer:
    is_ndjson = call.content_type == NDJSON
    call.body = await read_body(receive, call.headers, reception.max_bulk_bytes if is_ndjson else MAX_JSON_BYTES)
    if not is_ndjson:
        call.require_json()
    proof = await reception.authenticator.proof(call)
    events = _lines(call.body) if is_ndjson else _events(call.body)
    header_key = parse_key(call.header(b"idempotency-key"))
    results = _Results(len(events), call.request_id)
    reception.batcher.reserve_bulk(len(events))
    allowance = await _submit(reception, proof, events, header_key, results)
    return Answer(200, encode(await results.answer()), allowance)


async def _submit(reception: Reception, proof: Proof, events: list[Any], header_key: str | None, results: _Results) -> Headers:
    """Send off what is well-formed and settle the rest; the rate-limit headers of the last event."""
    by_program: defaultdict[UUID, list[Entry]] = defaultdict(list)
    allowance: Headers = []
    unused = len(events)
    try:
        for line, event in enumerate(events):
            try:
                body = _report(event)
                caller = await reception.authenticator.caller(
                    proof, brand_id=body.brand_id, domain=body.domain, source_url=body.source_url
                )
                allowance = await reception.allowance(caller)
                submission = submission_of(caller, body, keys.BULK_EVENTS, header_key, line=line)
            except GuerdonError as error:
                results.settle(line, error)
                continue
            by_program[caller.program.id].append((submission, results.settle_for(line)))
            if line % _LINES_A_TURN == _LINES_A_TURN - 1:
                await asyncio.sleep(0)
        for program_id, entries in by_program.items():
            unused -= len(entries)
            reception.batcher.submit_bulk(program_id, entries)
    finally:
        reception.batcher.release_bulk(unused)
    return allowance


def _lines(body: bytes) -> list[bytes]:
    """The lines of an NDJSON body that are not blank."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > MAX_NDJSON_EVENTS:
        raise TooManyEventsError(f"{len(lines)} events were sent; an NDJSON request takes {MAX_NDJSON_EVENTS}.")
    return _some(lines)


def _events(body: bytes) -> list[Any]:
    """The events of a JSON body."""
    listed = decode_object(body).get("events")
    if not isinstance(listed, list):
        raise invalid_event([{"field": "events", "message": "must be a list"}])
    events = cast("list[Any]", listed)
    if len(events) > MAX_JSON_EVENTS:
        raise TooManyEventsError(f"{len(events)} events were sent; a JSON request takes {MAX_JSON_EVENTS}.")
    return _some(events)


def _some(events: list[Any]) -> list[Any]:
    if not events:
        raise invalid_event([{"field": "events", "message": "must hold at least one event"}])
    return events


def _report(event: Any) -> ReportBody:
    """The report in one line, or in one element of the list."""
    if isinstance(event, bytes):
        if len(event) > MAX_LINE_BYTES:
            raise PayloadTooLargeError(f"An event has {MAX_LINE_BYTES} bytes at most.")
        return parse_report(decode_object(event))
    if not isinstance(event, dict):
        raise invalid_event([{"field": "event", "message": "must be an object"}])
    return parse_report(cast("dict[str, Any]", event))
