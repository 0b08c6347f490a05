"""The load client against a server that answers as it is told, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import msgspec

from bench.client import Client, Job, Result, read_decided
from bench.requests import Crowd, Shop, events

ACCEPTED = b'{"success":true,"eventId":"01900000-0000-7000-8000-00000000000%d","message":"Event processed","rewardAmount":7}'


def answer(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = (b"HTTP/1.1 " + status, b"content-type: application/json", b"content-length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def a_job(port: int, **more: Any) -> Job:
    job = Job(
        host="127.0.0.1", port=port, connections=1, seconds=5, shops=[Shop("0x1", "key")], crowd=Crowd("t", 10), requests=3,
        warm_up_seconds=0,
    )  # fmt: skip
    return msgspec.structs.replace(job, **more)


def sent(job: Job) -> Result:
    """What comes of the job."""
    with closing(Client(job)) as client:
        return client.run()


@asynccontextmanager
async def a_server(
    answers: Iterator[bytes], *, cut: Callable[[bytes], list[bytes]] = lambda whole: [whole]
) -> AsyncIterator[int]:
    serving: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                for part in cut(next(answers)):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.001)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*filter(None, serving))


async def test_every_answer_is_counted_with_what_it_says(tmp_path: Path) -> None:
    accepted = [answer(b"200 OK", ACCEPTED % number) for number in range(3)]
    async with a_server(iter(accepted)) as port:
        result = await asyncio.to_thread(sent, a_job(port, decided=str(tmp_path / "decided")))
    assert (result.accepted, result.counted, result.points, result.statuses) == (3, 3, 21, {"200": 3})
    assert result.ran_out
    assert [points for _, points in read_decided(tmp_path / "decided")] == [7, 7, 7]


async def test_an_answer_may_come_in_pieces() -> None:
    accepted = [answer(b"200 OK", ACCEPTED % number) for number in range(3)]
    async with a_server(iter(accepted), cut=lambda whole: [whole[:9], whole[9:90], whole[90:150], whole[150:]]) as port:
        result = await asyncio.to_thread(sent, a_job(port))
    assert (result.accepted, result.unanswered) == (3, 0)


async def test_what_is_refused_is_sent_again_and_no_acceptance() -> None:
    busy = answer(b"503 Service Unavailable", b"{}", b"retry-after: 1")
    answers = chain([busy, busy], (answer(b"200 OK", ACCEPTED % number) for number in range(3)), repeat(busy))
    async with a_server(answers) as port:
        result = await asyncio.to_thread(sent, a_job(port, again=True, seconds=0.3))
    assert result.statuses == {"200": 3, "503": 2}
    assert result.refused_with_retry_after == 2
    assert result.accepted == 3


def test_each_tenth_event_is_of_somebody_new_and_no_key_comes_twice() -> None:
    made = [msgspec.json.decode(event) for event in events(Crowd("t", 5), 100, seed=0)]
    assert sum(event["userEmail"].startswith("new-") for event in made) == 10
    assert len({event["idempotencyKey"] for event in made}) == 100
    assert {event["userEmail"] for event in made if not event["userEmail"].startswith("new-")} == {
        f"member-{number}@bench.example" for number in range(5)
    }
