"""Payments that the bench books: who pays whom, and how much, follows from a number, so that any of them can be made again.

Two addresses an account, as people have them; payees that nobody owns; amounts of one to ten cents, so that each earns a point.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID

from bench.bare import account
from bench.house import House, Program
from guerdon.activity.settlements.assets import Listed
from guerdon.activity.settlements.crediting import Proven, Surroundings
from guerdon.activity.settlements.names import Network, Networks
from guerdon.activity.settlements.proofs import Landed, Payment

ADDRESSES_AN_ACCOUNT: Final = 2
PAYEES: Final = 2_000
MICRO_USD_PER_POINT: Final = 10_000
TOKEN: Final = Listed("0x" + "cc" * 20, "USDC", 6, 1_000_000)
NETWORK: Final = Network("local", "eip155", "31337")
SOURCE: Final = UUID(int=(0x7 << 76) | (0x8 << 60) | 1)
_SIGNER: Final = "0x" + "51" * 20
_FIRST: Final = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
_APART: Final = timedelta(seconds=0.5)
_LEAST, _MOST = MICRO_USD_PER_POINT, 10 * MICRO_USD_PER_POINT


def proven(numbers: Iterable[int], accounts: int, first: datetime = _FIRST) -> list[Proven]:
    """These payments, each in a transaction of its own, final."""
    found: list[Proven] = []
    for number in numbers:
        chance = blake2b(number.to_bytes(8), digest_size=32).digest()
        payer = int.from_bytes(chance[:8]) % (accounts * ADDRESSES_AN_ACCOUNT)
        payee = int.from_bytes(chance[8:16]) % PAYEES
        amount = _LEAST + int.from_bytes(chance[16:24]) % (_MOST - _LEAST + 1)
        payment = Payment(1, TOKEN.address, f"0x{payer:040x}", f"0xff{payee:038x}", amount)
        block = f"0x{number // 10:064x}"
        found.append(
            Proven(
                NETWORK,
                SOURCE,
                Landed(f"0x{chance.hex()}", _SIGNER, number // 10, block, first + number * _APART, True, (payment,), None),
            )
        )
    return found


def around(now: datetime) -> Surroundings:
    """What crediting needs to know besides."""
    return Surroundings(Networks.of([NETWORK]), {}, {NETWORK.name: {TOKEN.address: TOKEN}}, now)


async def furnish(house: House, program: Program, accounts: int) -> None:
    """Give a program so many accounts, each with its proven addresses."""
    await house.superuser.execute(
        f"""
        insert into accounts (program_id, id, wallet_address, created_at)
        select $1, {account("n")}, '0x' || lpad(to_hex(n), 40, '1'), now() from generate_series(0, $2::bigint - 1) as n
        """,
        program.id, accounts,
    )  # fmt: skip
    await house.superuser.execute(
        f"""
        insert into addresses (program_id, id, account_id, network, namespace, address, verified_at, proof_method, proof,
            usable_from, created_at)
        select $1, ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, {account(f"n / {ADDRESSES_AN_ACCOUNT}")},
            'local', 'eip155', '0x' || lpad(to_hex(n), 40, '0'), now() - interval '1 year', 'eip191', '{{}}', now(), now()
        from generate_series(0, $2::bigint - 1) as n
        """,
        program.id, accounts * ADDRESSES_AN_ACCOUNT,
    )  # fmt: skip
