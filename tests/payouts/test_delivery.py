"""From approved to final: what is owed arrives in wallets, once, and all books say so."""

from __future__ import annotations

from tests.payouts.house import House


async def test_what_is_owed_arrives_in_the_wallet_and_the_books_say_so(house: House) -> None:
    async with house.working():
        program = await house.program(funds=100)
        account = await house.account(program)
        await house.owe(program, {account: 30})
        await house.until_states({"final": 1})
    (wallet,) = await house.wallets_of(program)
    assert await house.balance(wallet) == 30
    treasury = await house.treasury()
    assert (treasury.balance_final, treasury.reserved) == (70, 0)
    row = await house.owner.fetchrow("select funds, owed, delivered from program_balances where program_id = $1", program)
    assert row is not None
    assert tuple(row) == (70, 0, 30)
