"""One whole installation for all tests here; each of them leaves it running and settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import asyncpg
import pytest

from tests.prove import judge
from tests.prove.reporter import Reporter
from tests.system.house import House


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """`guerdon up`, in a path with a space."""
    folder = tmp_path_factory.mktemp("system")
    folder.chmod(0o711)  # PostgreSQL runs as another user where the tests are root
    house = House(folder / "a house")
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.fixture(scope="session")
def reporter(house: House) -> Reporter:
    """A program with funds and one rule: a token for each dollar."""
    program = house.cli("program", "create", "--name", "Shop", "--domain", "shop.example")
    house.cli("program", "fund", program["brandId"], "--amount", "1000000")
    house.cli(
        "rule", "set", "order", "--program", program["brandId"], "--name", "Order", "--description", "A token for each whole cent.",
        "--reward", "1", "--field", "cents", "--per", "1", "--servers-only", "--max-claims-per-user", "-1",
    )  # fmt: skip
    return Reporter(house.url, program["brandId"], program["securityKey"])


async def settled(house: House, *, seconds: float = 150) -> None:
    """Wait until nothing is under way."""
    deadline = time.monotonic() + seconds
    stuck: list[str] = ["nobody looked"]
    while stuck:
        assert time.monotonic() < deadline, [*stuck[:10], house.said()]
        await asyncio.sleep(0.5)
        try:
            connection = await asyncpg.connect(house.superuser_dsn, timeout=5)
        except (OSError, asyncpg.PostgresError) as error:
            stuck = [repr(error)]
            continue
        try:
            stuck = await judge.stuck(connection)
        finally:
            await connection.close()


async def verdict(house: House, reporter: Reporter) -> list[str]:
    """What the judge says once all is settled."""
    await settled(house)
    return await judge.judge(house.superuser_dsn, house.rpc, reporter.told)
