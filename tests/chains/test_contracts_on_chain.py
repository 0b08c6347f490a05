"""Our contracts on a real EVM, through the same calls that the product makes."""

from __future__ import annotations

import secrets
from uuid import uuid4

import pytest

from guerdon.chains import contracts
from guerdon.chains.contracts import BatchStatus, decode_error
from guerdon.chains.evm import EvmClient
from guerdon.chains.port import BadAnswerError, CallRevertedError
from tests.support.local_chain import Account, ChainInThread, Deployed

ANN, BOB = "0x00000000000000000000000000000000000A11cE", "0x0000000000000000000000000000000000000B0b"


def addresses(count: int) -> list[str]:
    return [contracts.created_address(f"0x{secrets.token_hex(20)}", number) for number in range(count)]


async def status(client: EvmClient, deployed: Deployed, chain_batch_id: str) -> BatchStatus:
    call = contracts.status_of_call(deployed.payer.address, chain_batch_id)
    return contracts.read_status(await client.call(deployed.distributor, call, block="latest"))


async def refusal(client: EvmClient, deployed: Deployed, data: bytes) -> contracts.DecodedError | None:
    with pytest.raises(CallRevertedError) as reverted:
        await client.call(deployed.distributor, data, sender=deployed.payer.address, block="latest")
    return decode_error(reverted.value.data)


async def test_s17_the_batch_id_computed_here_is_the_contracts(client: EvmClient, deployed: Deployed) -> None:
    batch, payments = uuid4().bytes, [(address, number + 1) for number, address in enumerate(addresses(30))]
    wanted = contracts.batch_id(await client.chain_id(), deployed.distributor, deployed.token, batch, payments)
    receipt = await deployed.payer.send(deployed.distributor, contracts.pay_call(deployed.token, batch, [], payments))
    paid = [found for found in map(contracts.read_batch_paid, receipt.logs) if found is not None]
    assert paid == [contracts.BatchPaid(deployed.distributor, deployed.payer.address, wanted, batch)]
    assert await status(client, deployed, wanted) is BatchStatus.PAID
    transfers = [found for found in map(contracts.read_transfer, receipt.logs) if found is not None]
    assert [(transfer.recipient, transfer.amount) for transfer in transfers] == payments
    assert await client.token_balances(deployed.token, [ANN, payments[0][0], payments[-1][0]], receipt.block_number) == {
        ANN: 0,
        payments[0][0]: 1,
        payments[-1][0]: 30,
    }


async def test_s17_a_batch_sent_twice_reverts_the_second_time(client: EvmClient, deployed: Deployed) -> None:
    data = contracts.pay_call(deployed.token, uuid4().bytes, [], [(ANN, 7)])
    assert (await deployed.payer.send(deployed.distributor, data)).succeeded
    second = await deployed.payer.send(deployed.distributor, data, gas_limit=200_000)
    assert not second.succeeded
    assert second.logs == ()
    error = await refusal(client, deployed, data)
    assert error is not None
    assert error.name == "BatchAlreadyPaid"


async def test_s17_a_superseded_batch_is_void(client: EvmClient, deployed: Deployed) -> None:
    first, second = uuid4().bytes, uuid4().bytes
    old = contracts.batch_id(await client.chain_id(), deployed.distributor, deployed.token, first, [(ANN, 7)])
    await deployed.payer.send(deployed.distributor, contracts.pay_call(deployed.token, second, [old], [(ANN, 7)]))
    assert await status(client, deployed, old) is BatchStatus.VOID
    error = await refusal(client, deployed, contracts.pay_call(deployed.token, first, [], [(ANN, 7)]))
    assert str(error) == f"BatchIsVoid({old})"


async def test_the_recipient_that_fails_is_named(client: EvmClient, deployed: Deployed) -> None:
    payments = [(ANN, 7), (deployed.token, 5)]
    with pytest.raises(CallRevertedError) as reverted:
        await client.call(
            deployed.distributor,
            contracts.pay_call(deployed.token, uuid4().bytes, [], payments),
            sender=deployed.payer.address,
            block="latest",
        )
    failed = contracts.failed_payment(reverted.value.data)
    assert failed == contracts.FailedPayment(1, deployed.token, b"")


async def test_too_little_balance_is_the_tokens_own_reason(client: EvmClient, deployed: Deployed) -> None:
    data = contracts.pay_call(deployed.token, uuid4().bytes, [], [(ANN, 10**15), (BOB, 1)])
    with pytest.raises(CallRevertedError) as reverted:
        await client.estimate_gas(deployed.distributor, data, sender=deployed.payer.address)
    failed = contracts.failed_payment(reverted.value.data)
    assert failed is not None
    assert (failed.index, failed.recipient) == (1, BOB)
    reason = decode_error(failed.reason)
    assert reason is not None
    assert (reason.name, reason.arguments[1:]) == ("ERC20InsufficientBalance", (0, 1))


async def test_gas_for_two_hundred_recipients_keeps_to_its_aim(client: EvmClient, deployed: Deployed) -> None:
    payments = [(address, 500 + number) for number, address in enumerate(addresses(200))]
    new = await deployed.payer.send(deployed.distributor, contracts.pay_call(deployed.token, uuid4().bytes, [], payments))
    known = await deployed.payer.send(deployed.distributor, contracts.pay_call(deployed.token, uuid4().bytes, [], payments))
    assert new.gas_used / 200 < 26_500
    assert known.gas_used / 200 < 9_400


async def test_s29_the_minter_mints_once_within_its_cap(
    chain: ChainInThread, client: EvmClient, account: Account, deployed: Deployed
) -> None:
    hot = Account(client, secrets.token_bytes(32))
    await Account(client, chain.funder_key).send(hot.address, value=10**20)
    roles = {"admin": account.address, "minter": hot.address, "cap_admin": account.address, "pauser": account.address}
    minter = (await account.send(None, contracts.minter_creation(**roles))).contract_address
    assert minter is not None
    assert contracts.is_code_of("RewardMinter", await client.code(minter, "latest"))
    await account.send(deployed.token, contracts.grant_role_call(contracts.MINTER_ROLE, minter))
    await account.send(minter, contracts.set_daily_cap_call(deployed.token, 1_000))

    request = uuid4()
    mint = contracts.mint_call(deployed.token, request.bytes, ANN, 400)
    before = await client.token_balance(deployed.token, ANN, "latest")
    receipt = await hot.send(minter, mint)
    (minted,) = (found for found in map(contracts.read_minted, receipt.logs) if found is not None)
    assert minted == contracts.Minted(minter, hot.address, request.bytes.ljust(32, b"\0"), deployed.token, ANN, 400)
    assert await client.token_balance(deployed.token, ANN, receipt.block_number) == before + 400
    assert contracts.decode_uint(await client.call(minter, contracts.left_today_call(deployed.token), block="latest")) == 600
    assert not (await hot.send(minter, mint, gas_limit=200_000)).succeeded
    with pytest.raises(CallRevertedError) as reverted:
        await client.call(
            minter, contracts.mint_call(deployed.token, uuid4().bytes, ANN, 601), sender=hot.address, block="latest"
        )
    assert str(decode_error(reverted.value.data)) == f"DailyCapExceeded({deployed.token.lower()}, 601, 600)"


async def test_deployed_code_is_told_from_other_code(client: EvmClient, deployed: Deployed) -> None:
    token, distributor = await client.code(deployed.token, "latest"), await client.code(deployed.distributor, "latest")
    assert contracts.is_code_of("RewardToken", token)
    assert contracts.is_code_of("RewardDistributor", distributor)
    assert not contracts.is_code_of("RewardToken", distributor)
    assert not contracts.is_code_of("RewardToken", await client.code(ANN, "latest"))
    # A byte that is no immutable differs.
    assert not contracts.is_code_of("RewardToken", token[:100] + bytes([token[100] ^ 1]) + token[101:])
    assert contracts.decode_uint(await client.call(deployed.token, contracts.decimals_call(), block="latest")) == 0
    assert contracts.read_symbol(await client.call(deployed.token, contracts.symbol_call(), block="latest")) == "LTZ"


async def test_an_address_without_a_contract_is_no_token(client: EvmClient) -> None:
    with pytest.raises(BadAnswerError, match="no such contract"):
        await client.token_balance(ANN, BOB, "latest")


async def test_created_address_is_where_the_chain_puts_it(client: EvmClient, account: Account) -> None:
    for nonce in range(2):
        receipt = await account.send(None, contracts.distributor_creation())
        assert receipt.contract_address == contracts.created_address(account.address, nonce)
