"""The OpenAPI document is true: what Schemathesis makes of it is answered as it says. Bounded: a few examples an operation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS

from guerdon.app import Application, openapi_document
from tests.support.api import add_asset, platform_token, settings_for
from tests.support.postgres import Urls
from tests.support.services import free_port

EXAMPLES = 6
CHECKED = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
WITHOUT_A_CHAIN = {"RPC_NOT_CONFIGURED", "CHAIN_UNAVAILABLE"}
OPERATIONS = [(method.upper(), path) for path, operations in openapi_document()["paths"].items() for method in operations]


class Served:
    """The application behind a real server, in a thread with a loop of its own."""

    def __init__(self, urls: Urls) -> None:
        self.url = ""
        self.token = ""
        self._urls = urls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._server: uvicorn.Server | None = None

    async def _serve(self) -> None:
        app = Application(settings_for(self._urls.app, rate_limit_admin_a_minute=1_000_000))
        async with app.running() as runtime:
            await add_asset(runtime.database)
            self.token = await platform_token(runtime)
            port = free_port()
            self.url = f"http://127.0.0.1:{port}"
            self._server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None, access_log=False))
            self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
            serving = asyncio.create_task(self._server.serve())
            while not self._server.started:
                await asyncio.sleep(0.01)
            self._ready.set()
            await serving

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(30)


@pytest.fixture
def served(database_urls: Urls) -> Iterator[Served]:
    server = Served(database_urls)
    server.start()
    yield server
    server.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_every_operation_answers_as_the_document_says(served: Served) -> None:
    schema = schemathesis.openapi.from_dict(openapi_document())
    schema.config.update(base_url=served.url)
    checks = CHECKS.get_by_names(list(CHECKED))
    headers = {"Authorization": f"Bearer {served.token}"}
    counted: dict[str, int] = {}

    for method, path in OPERATIONS:
        operation: Any = schema[path][method]

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def examine(case: Any) -> None:
            response = case.call(headers=headers)
            # No chain runs beside this server, and what asks one says so.
            if response.status_code != 503 or response.json()["code"] not in WITHOUT_A_CHAIN:
                case.validate_response(response, checks=checks)
            counted[str(response.status_code)] = counted.get(str(response.status_code), 0) + 1

        examine()

    assert sum(counted.values()) >= len(OPERATIONS)
    assert any(status.startswith("2") for status in counted)
