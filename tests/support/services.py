"""The real parts that tests run on, and what happens when one is missing: a skip here, a failure on CI."""

from __future__ import annotations

import os
import socket
from typing import NoReturn

import pytest

ON_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def missing(what: str) -> NoReturn:
    """End the test: on CI nothing may be missing."""
    if ON_CI:
        pytest.fail(f"{what} is missing, and on CI every test runs", pytrace=False)
    pytest.skip(f"{what} is missing")


def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(host: str, port: int) -> bool:
    """Does anybody listen there?"""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
