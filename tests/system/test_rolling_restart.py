"""Two web processes share a port and are replaced one after the other under load: a client that repeats with its key loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import replace

import httpx
import pytest

from tests.prove.reporter import Reporter
from tests.support.services import free_port
from tests.system.conftest import verdict
from tests.system.house import GUERDON, House

pytestmark = pytest.mark.slow


def start_web(house: House, port: int) -> subprocess.Popen[bytes]:
    """One more web process on the house's database; returns when it says that it serves."""
    reader, writer = os.pipe()
    with (house.data_dir.parent / "web.out").open("ab") as output:
        process = subprocess.Popen(
            [*GUERDON, "web", "--share-port", "--port", str(port), "--data-dir", str(house.data_dir)],
            env=house.environment(GUERDON_READY_FD=str(writer), GUERDON_DRAIN_SECONDS="0.5"),
            stdout=output,
            stderr=output,
            pass_fds=(writer,),
        )
    os.close(writer)
    try:
        assert os.read(reader, 16) == b"ready\n"
    finally:
        os.close(reader)
    return process


async def test_a_rolling_restart_under_load_loses_no_event(house: House, reporter: Reporter) -> None:
    port = free_port()
    running = [await asyncio.to_thread(start_web, house, port) for _ in range(2)]
    on_both = replace(reporter, url=f"http://127.0.0.1:{port}", attempts=0)  # what it is told is shared with `reporter`
    stop = asyncio.Event()
    rounds = 0

    async def load() -> None:
        nonlocal rounds
        while not stop.is_set():
            await on_both.report([f"rolling-{rounds}-{number}" for number in range(40)], at_once=16)
            rounds += 1

    loading = asyncio.create_task(load())
    try:
        for _ in range(2):
            running.append(await asyncio.to_thread(start_web, house, port))
            leaving = running.pop(0)
            leaving.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(leaving.wait, 20) == 0
        stop.set()
        await loading
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert (await client.get("/ready")).status_code == 200
    finally:
        stop.set()
        for process in running:
            process.send_signal(signal.SIGTERM)
        codes = [await asyncio.to_thread(process.wait, 20) for process in running]
    assert codes == [0, 0]
    told = {one.name for one in reporter.acknowledged}
    assert rounds >= 2
    assert {f"rolling-{turn}-{number}" for turn in range(rounds) for number in range(40)} <= told
    assert await verdict(house, reporter) == []


async def test_a_web_process_that_ends_says_so_first(house: House, reporter: Reporter) -> None:
    port = free_port()
    process = await asyncio.to_thread(start_web, house, port)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert (await client.get("/ready")).json()["status"] == "ready"
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        answer = await client.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["checks"]["process"] == "draining"
        assert answer.headers["connection"] == "close"
    assert await asyncio.to_thread(process.wait, 20) == 0
