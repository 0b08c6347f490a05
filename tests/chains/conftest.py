"""One local chain for all tests here, and clients for it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from guerdon.chains.evm import EvmClient
from tests.support.local_chain import Account, ChainInThread, Deployed, deploy, running_chain


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChainInThread]:
    with running_chain(tmp_path_factory.mktemp("chain")) as running:
        yield running


@pytest.fixture
async def client(chain: ChainInThread) -> AsyncIterator[EvmClient]:
    async with EvmClient(chain.url) as opened:
        yield opened


@pytest.fixture
async def account(chain: ChainInThread, client: EvmClient) -> Account:
    """A new account with coins, so that tests do not share nonces."""
    made = Account(client, secrets.token_bytes(32))
    await Account(client, chain.funder_key).send(made.address, value=10**21)
    return made


@pytest.fixture
async def deployed(client: EvmClient, account: Account) -> Deployed:
    return await deploy(client, account)
