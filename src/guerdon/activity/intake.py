"""The hot path: `POST /loyalteez-api/manual-event`, answered when its batch is committed.

A signed report goes straight from its connection into a batch and back (`EventIntake.handle`, `kit/direct_http.py`); whatever has
to be waited for before that, such as a program that is not known yet, goes through the same steps as plain ASGI.

Bulk is `intake_bulk.py`; other endpoints of the event handler are `routes.py`. What is decided is not decided here.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from prometheus_client import Counter, Histogram

from guerdon.activity import keys
from guerdon.activity.authentication import SIGNATURE_HEADER, Caller
from guerdon.activity.calls import (
    Answer,
    Call,
    ClientGoneError,
    Headers,
    Receive,
    ScopeMap,
    Send,
    call_of,
    encode,
    error_answer,
    read_body,
)
from guerdon.activity.counts import count_refused
from guerdon.activity.intake_bulk import answer_bulk
from guerdon.activity.reception import Reception, event_answer, submission_of
from guerdon.activity.schemas import decode_object, parse_key, parse_report
from guerdon.activity.submissions import Booked, Outcome, Submission
from guerdon.activity.waiting import preferred_wait
from guerdon.kit.direct_http import Direct, Exchange
from guerdon.kit.errors import GuerdonError, InternalError, MethodNotAllowedError, UnavailableError
from guerdon.kit.web import request_id_of, requests_total

MANUAL_EVENT: Final = "/loyalteez-api/manual-event"
BULK_EVENTS: Final = "/loyalteez-api/bulk-events"
PATHS: Final = frozenset({MANUAL_EVENT, BULK_EVENTS})
MAX_EVENT_BYTES: Final = 64 * 1024

log = structlog.get_logger("guerdon.intake")

intake_seconds = Histogram(
    "guerdon_intake_seconds",
    "Time from a report's headers to its answer.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


class EventIntake:
    """ASGI application for the two paths that reports come on."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        # Looked up once: a label look-up for each of ten thousand requests a second shows in a profile.
        self._seconds = {path: intake_seconds.labels(path) for path in PATHS}
        self._counted: dict[tuple[str, str, int], Counter] = {}

    @property
    def direct(self) -> tuple[bytes, Direct]:
        """The route that needs no ASGI, with its path."""
        return MANUAL_EVENT.encode("ascii"), Direct(b"POST", MAX_EVENT_BYTES, self.handle)

    async def __call__(self, scope: ScopeMap, receive: Receive, send: Send) -> None:
        """Answer one request; errors too, whatever they are."""
        started = time.perf_counter()
        call = call_of(scope)
        path: str = scope["path"]
        try:
            answer = await self._answer(scope["method"], path, call, receive)
        except ClientGoneError:
            return
        except GuerdonError as error:
            answer = _refusal(error, call)
        except Exception as error:
            log.exception("request_failed", request_id=call.request_id, route=path, error=type(error).__name__)
            answer = _refusal(InternalError(), call)
        answer.headers.append((b"x-request-id", call.request_id.encode("ascii")))
        origin = call.headers.get(b"origin")
        if origin is not None and scope["method"] != "OPTIONS":
            answer.headers += await self._reception.origins.headers(origin)
        await answer.send(send)
        self._account(scope["method"], path, answer.status, started)

    def handle(self, exchange: Exchange) -> bool:
        """Answer a signed report now or when it is booked; False if something has to be asked first."""
        headers = exchange.headers
        if SIGNATURE_HEADER not in headers or b"origin" in headers or b"prefer" in headers:
            return False
        waiting = _Waiting(self, exchange, Call(headers, exchange.peer, request_id_of(headers.items()), exchange.body))
        try:
            if not self._submit(waiting):
                return False
        except GuerdonError as error:
            waiting.answer(_refusal(error, waiting.call))
        except Exception as error:
            log.exception("request_failed", request_id=waiting.call.request_id, route=MANUAL_EVENT, error=type(error).__name__)
            waiting.answer(_refusal(InternalError(), waiting.call))
        return True

    def _submit(self, waiting: _Waiting) -> bool:
        """The steps of `_answer_event` up to the batch, for a report of whose sender everything is known."""
        reception, call = self._reception, waiting.call
        call.require_json()
        program = reception.authenticator.known_signer(call)
        if program is None:
            return False
        if reception.batcher.is_full(program.id):
            # Before anything is computed: what is refused in masses has to be cheap.
            raise UnavailableError(retry_after=1)
        proof = reception.authenticator.signed(call, program)
        body = parse_report(decode_object(call.body))
        caller = reception.authenticator.signing_caller(proof, program, brand_id=body.brand_id, domain=body.domain)
        waiting.allowance = reception.known_allowance()
        submission = submission_of(caller, body, keys.MANUAL_EVENT, parse_key(call.header(b"idempotency-key")))
        reception.batcher.submit(program.id, submission, waiting.settle)
        return True

    def account_direct(self, status: int, started: float) -> None:
        """Count an answer that `handle` gave."""
        self._account("POST", MANUAL_EVENT, status, started)

    def _account(self, method: str, path: str, status: int, started: float) -> None:
        self._count(method, path, status)
        self._seconds[path].observe(time.perf_counter() - started)

    async def _answer(self, method: str, path: str, call: Call, receive: Receive) -> Answer:
        if method == "OPTIONS":
            return await self._reception.origins.preflight(call)
        if method != "POST":
            answer = error_answer(MethodNotAllowedError(), call.request_id)
            answer.headers.append((b"allow", b"OPTIONS, POST"))
            return answer
        if path == BULK_EVENTS:
            return await answer_bulk(self._reception, call, receive)
        call.body = await read_body(receive, call.headers, MAX_EVENT_BYTES)
        call.require_json()
        return await _answer_event(self._reception, call)

    def _count(self, method: str, path: str, status: int) -> None:
        key = (method, path, status)
        counter = self._counted.get(key)
        if counter is None:
            counter = self._counted[key] = requests_total.labels(method, path, str(status))
        counter.inc()


async def _answer_event(reception: Reception, call: Call) -> Answer:
    """One report, from its bytes to its answer."""
    proof = await reception.authenticator.proof(call)
    body = parse_report(decode_object(call.body))
    caller = await reception.authenticator.caller(proof, brand_id=body.brand_id, domain=body.domain, source_url=body.source_url)
    allowance = await reception.allowance(caller)
    try:
        submission = submission_of(caller, body, keys.MANUAL_EVENT, parse_key(call.header(b"idempotency-key")))
        outcome = await _booked(reception, caller, submission)
        answer = await _answer_booked(reception, call, caller, outcome)
    except GuerdonError as error:
        answer = _refusal(error, call)
    answer.headers += allowance
    return answer


async def _booked(reception: Reception, caller: Caller, submission: Submission) -> Booked:
    settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def settle(outcome: Outcome) -> None:
        # Whoever waited may be gone by now.
        if not settled.done():
            settled.set_result(outcome)

    reception.batcher.submit(caller.program.id, submission, settle)
    outcome = await settled
    if isinstance(outcome, GuerdonError):
        raise outcome
    return outcome


async def _answer_booked(reception: Reception, call: Call, caller: Caller, booked: Booked) -> Answer:
    seconds = preferred_wait(call.text(b"prefer"))
    transaction_hash: str | None = None
    if seconds and booked.delivery_id is not None and booked.transaction_hash is None:
        transaction_hash = await reception.watch.transaction(caller.program.id, booked.delivery_id, seconds)
    answer = _acceptance(booked, transaction_hash)
    if seconds:
        answer.headers.append((b"preference-applied", b"wait=%d" % seconds))
    return answer


def _acceptance(booked: Booked, transaction_hash: str | None = None) -> Answer:
    answer = Answer(200, encode(event_answer(booked, transaction_hash)))
    if booked.is_repeat:
        answer.headers.append((b"idempotency-replayed", b"true"))
    return answer


def _refusal(error: GuerdonError, call: Call) -> Answer:
    count_refused(error)
    return error_answer(error, call.request_id)


class _Waiting:
    """A report that came straight from its connection, until it is answered there."""

    __slots__ = ("_exchange", "_intake", "_started", "allowance", "call")

    def __init__(self, intake: EventIntake, exchange: Exchange, call: Call) -> None:
        self._intake = intake
        self._exchange = exchange
        self._started = time.perf_counter()
        self.call = call
        self.allowance: Headers = []

    def settle(self, outcome: Outcome) -> None:
        """What the batcher calls."""
        self.answer(_refusal(outcome, self.call) if isinstance(outcome, GuerdonError) else _acceptance(outcome))

    def answer(self, answer: Answer) -> None:
        """Answer, and count it."""
        answer.headers += (*self.allowance, (b"x-request-id", self.call.request_id.encode("ascii")))
        answer.send_directly(self._exchange)
        self._intake.account_direct(answer.status, self._started)
