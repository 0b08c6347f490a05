"""Whose an address is, and where an account's tokens may go: what other parts of the house ask of the registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from guerdon.accounts.addresses import BUILT_IN, destination, ownerships
from guerdon.accounts.errors import AddressNotProvenError, AddressWaitsError, InvalidAddressError, NetworkUnknownError
from guerdon.accounts.forms import NamedNetwork, canonical, network_named, shown
from guerdon.chains.networks import EIP155
from guerdon.kit.database import Database, sqlstate
from tests.support.books import a_program, an_asset
from tests.support.members import EARLIER, an_account, an_address

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
SAFE = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
SOL = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def program(database: Database) -> UUID:
    return await a_program(database, await an_asset(database))


async def _goes(database: Database, program: UUID, account: UUID, address: str, chain_id: int | None = 8453) -> str:
    async with database.program(program) as session:
        namespace = "solana" if chain_id is None else EIP155
        return (await destination(session, program, account, namespace, chain_id, address, NOW)).address


async def test_an_address_is_its_accounts_in_any_case_and_shown_checksummed(database: Database, program: UUID) -> None:
    account = await an_account(database, program)
    row = await an_address(database, program, account, ALICE)
    async with database.program(program) as session:
        found = await ownerships(session, program, [(EIP155, ALICE.lower()), (EIP155, ALICE), (EIP155, SAFE), (EIP155, "x")])
    assert set(found) == {(EIP155, ALICE.lower()), (EIP155, ALICE)}
    (owned,) = found[EIP155, ALICE]
    assert (owned.account_id, owned.address_id, owned.chain_id, owned.since, owned.until) == (account, row, None, EARLIER, None)
    assert await _goes(database, program, account, ALICE.upper().replace("X", "x")) == ALICE


async def test_x402_defect_11_a_solana_address_keeps_its_case(database: Database, program: UUID) -> None:
    account = await an_account(database, program)
    await an_address(database, program, account, SOL, namespace="solana")
    async with database.program(program) as session:
        found = await ownerships(session, program, [("solana", SOL), ("solana", SOL.lower())])
    assert set(found) == {("solana", SOL)}
    assert await _goes(database, program, account, SOL, None) == SOL


async def test_an_address_without_a_proof_has_no_owner(database: Database, program: UUID) -> None:
    account = await an_account(database, program)
    await an_address(database, program, account, ALICE, since=EARLIER, until=NOW - HOUR)
    with pytest.raises(AddressNotProvenError):
        await _goes(database, program, account, ALICE)
    async with database.program(program) as session:
        (owned,) = (await ownerships(session, program, [(EIP155, ALICE)]))[EIP155, ALICE]
    assert owned.holds(NOW - 2 * HOUR, 1)
    assert not owned.holds(NOW, 1)
    assert not owned.holds(EARLIER - HOUR, 1)


async def test_s7_a_proof_on_one_chain_is_none_on_another(database: Database, program: UUID) -> None:
    account = await an_account(database, program)
    await an_address(database, program, account, SAFE, chain_id=8453, proof_method="eip1271")
    assert await _goes(database, program, account, SAFE) == SAFE
    with pytest.raises(AddressNotProvenError):
        await _goes(database, program, account, SAFE, 1)
    async with database.program(program) as session:
        (owned,) = (await ownerships(session, program, [(EIP155, SAFE)]))[EIP155, SAFE]
    assert (owned.holds(NOW, 8453), owned.holds(NOW, 1), owned.holds(NOW, None)) == (True, False, False)


async def test_s5_nobody_elses_address_is_a_destination_and_the_built_in_wallet_is(database: Database, program: UUID) -> None:
    ours, theirs = await an_account(database, program, wallet_address=SAFE), await an_account(database, program)
    await an_address(database, program, theirs, ALICE)
    for stranger in (ALICE, SOL):
        with pytest.raises(AddressNotProvenError):
            await _goes(database, program, ours, stranger, None if stranger == SOL else 8453)
    async with database.program(program) as session:
        own = await destination(session, program, ours, EIP155, 1, SAFE.lower(), NOW)
    assert (own.address_id, own.address, own.method) == (None, SAFE, BUILT_IN)


async def test_s5_a_later_address_waits(database: Database, program: UUID) -> None:
    account = await an_account(database, program)
    await an_address(database, program, account, ALICE, usable_from=NOW + HOUR)
    with pytest.raises(AddressWaitsError) as waits:
        await _goes(database, program, account, ALICE)
    assert waits.value.until == NOW + HOUR


async def test_s1_another_program_knows_nothing_of_it(database: Database, program: UUID) -> None:
    other = await a_program(database, await an_asset(database))
    await an_address(database, program, await an_account(database, program), ALICE)
    stranger = await an_account(database, other)
    with pytest.raises(AddressNotProvenError):
        await _goes(database, other, stranger, ALICE)
    async with database.program(other) as session:
        assert await ownerships(session, other, [(EIP155, ALICE)]) == {}
        assert await ownerships(session, program, [(EIP155, ALICE)]) == {}


async def test_the_database_refuses_a_second_owner(database: Database, program: UUID) -> None:
    await an_address(database, program, await an_account(database, program), ALICE)
    other = await an_account(database, program)
    with pytest.raises(DBAPIError) as refused:
        await an_address(database, program, other, ALICE.lower())
    assert sqlstate(refused.value) == "23505"
    await an_address(database, program, other, ALICE, until=NOW)


def test_networks_are_known_by_name_and_id() -> None:
    assert network_named("base") == network_named("eip155:8453") == NamedNetwork("base", EIP155, 8453)
    assert network_named("eip155:137") == NamedNetwork("eip155:137", EIP155, 137)
    assert network_named("solana") == network_named("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp")
    assert network_named("solana-devnet") == NamedNetwork("solana-devnet", "solana", None)
    for unknown in ("", "stacks", "eip155:0", "solana:x"):
        with pytest.raises(NetworkUnknownError):
            network_named(unknown)


@pytest.mark.parametrize(
    ("namespace", "address"),
    [
        (EIP155, "0x12"),
        (EIP155, SOL),
        (EIP155, ALICE + "0"),
        ("solana", ALICE),
        ("solana", SOL[:-1] + "0"),
        ("solana", "1" * 31),
        ("solana", "z" * 44),
        ("solana", ""),
        ("stacks", ALICE),
    ],
)
def test_what_is_no_address_is_refused(namespace: str, address: str) -> None:
    with pytest.raises(InvalidAddressError):
        canonical(namespace, address)


def test_addresses_are_shown_as_wallets_show_them() -> None:
    assert shown(EIP155, canonical(EIP155, f" {ALICE.lower()} ")) == ALICE
    assert shown("solana", canonical("solana", SOL)) == SOL
