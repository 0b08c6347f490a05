"""Stopping a web process loses nothing that was begun, on a server of its own with an application that is slow."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import pytest

from guerdon.kit.serving import ListenError, listen
from tests.support.services import free_port

SERVER = """
import asyncio, sys
from guerdon.kit.serving import Draining, listen, serve
draining = Draining()
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                print("closed", flush=True)
                return
    if scope["path"] == "/slow":
        print("slow", flush=True)
        await asyncio.sleep(1)
    body = b"draining" if draining.begun else b"serving"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
sock = listen("127.0.0.1", int(sys.argv[1]), share_port=True)
serve(app, sock, draining=draining, drain_seconds=float(sys.argv[2]), shutdown_seconds=5, on_ready=lambda: print("ready", flush=True))
"""


@contextmanager
def server(port: int, drain_seconds: float) -> Generator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port), str(drain_seconds)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert said(process) == "ready"
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def get_once(port: int, path: str) -> tuple[str, str | None]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        return get(connection, path)


def get(connection: HTTPConnection, path: str) -> tuple[str, str | None]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.read().decode(), answer.getheader("connection")


def test_a_running_request_ends_before_the_process_does(port: int) -> None:
    with server(port, 0) as process:
        answers: list[tuple[str, str | None]] = []
        thread = threading.Thread(target=lambda: answers.append(get_once(port, "/slow")))
        thread.start()
        assert said(process) == "slow"
        process.send_signal(signal.SIGTERM)
        thread.join()
        assert answers[0][0] == "draining"
        assert process.wait(timeout=5) == 0
        assert said(process) == "closed"


def test_readiness_says_no_first_and_answers_end_their_connection(port: int) -> None:
    with server(port, 1) as process:
        with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as kept:
            assert get(kept, "/") == ("serving", None)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            assert get(kept, "/") == ("draining", "close")
        assert get_once(port, "/") == ("draining", "close")
        assert process.wait(timeout=5) == 0
        with pytest.raises(ConnectionRefusedError):
            get_once(port, "/")


def test_a_second_signal_does_not_wait(port: int) -> None:
    with server(port, 30) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=3) == 0


def test_two_processes_share_a_port_and_one_may_leave(port: int) -> None:
    with server(port, 0) as first, server(port, 0) as second:
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=5) == 0
        assert get_once(port, "/")[0] == "serving"
        assert second.poll() is None


def test_a_port_in_use_is_told_with_a_remedy(port: int) -> None:
    with listen("127.0.0.1", port, share_port=False):
        with pytest.raises(ListenError) as raised:
            listen("127.0.0.1", port, share_port=False)
        assert raised.value.message == f"port {port} on 127.0.0.1 is in use by another program"
        assert "--port" in raised.value.remedy


@pytest.mark.parametrize("host", ["not an address", "192.0.2.1"])
def test_an_address_of_another_machine_is_told(host: str) -> None:
    with pytest.raises(ListenError, match="is no address of this machine"):
        listen(host, free_port(), share_port=False)
