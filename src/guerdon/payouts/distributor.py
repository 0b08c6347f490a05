"""The distributor contract as one treasury sees it: would a batch be paid, was it, what is its id (SAFETY S17). Reads only."""

from __future__ import annotations

from collections.abc import Sequence

from guerdon.chains import contracts
from guerdon.chains.contracts import BatchStatus, PayCall
from guerdon.chains.port import ChainUnavailableError, RpcError
from guerdon.ledger.models import Asset
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.payments import Payment
from guerdon.payouts.simulation import Refusal
from guerdon.txmanager import repository_treasuries, tokens
from guerdon.txmanager.chain import Rpc
from guerdon.txmanager.models import Network, Treasury
from guerdon.txmanager.treasuries import DISTRIBUTOR, Finality


class Distributor:
    """Bound to one network, token and treasury."""

    def __init__(self, rpc: Rpc, *, chain_id: int, address: str, token: str, treasury_address: str) -> None:
        self._rpc = rpc
        self._chain_id = chain_id
        self._address = address
        self._token = token
        self._treasury = treasury_address

    @property
    def address(self) -> str:
        """Where the contract is."""
        return self._address

    @property
    def treasury_address(self) -> str:
        """Whose tokens it moves here."""
        return self._treasury

    def pay_call(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> bytes:
        """The transaction that pays a batch."""
        return contracts.pay_call(self._token, batch, supersedes, _pairs(payments))

    def chain_batch_id(self, batch: bytes, payments: Sequence[Payment]) -> str:
        """The id under which the contract will know this batch, bound to its contents."""
        return contracts.batch_id(self._chain_id, self._address, self._token, batch, _pairs(payments))

    def name_of(self, call: PayCall) -> str:
        """The id under which the contract knows the batch that such a call pays."""
        return contracts.batch_id(self._chain_id, self._address, self._token, call.batch, call.payments)

    async def simulate(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Refusal | None:
        """None if the treasury could pay this now."""
        call = {"from": self._treasury, "to": self._address, "data": f"0x{self.pay_call(batch, supersedes, payments).hex()}"}
        (answer,) = await self._rpc.batch([("eth_call", (call, "latest"))])
        if not isinstance(answer, RpcError):
            return None
        if not answer.reverted:
            raise ChainUnavailableError(str(answer)) from answer
        return _refusal(answer)

    async def statuses(self, ids: Sequence[str], block_number: int | None = None) -> dict[str, BatchStatus]:
        """What the contract has of batches of this treasury after a block; after the finalized one, if none is given."""
        if not ids:
            return {}
        number = await tokens.final_block(self._rpc) if block_number is None else block_number
        answers = [
            await tokens.read(self._rpc, self._address, contracts.status_of_call(self._treasury, value), hex(number))
            for value in ids
        ]
        return {value: contracts.read_status(answer) for value, answer in zip(ids, answers, strict=True)}

    async def finality(self) -> Finality:
        """What the treasury holds after the finalized block."""
        return await tokens.finality(self._rpc, self._token, self._treasury)

    async def allowance(self) -> int:
        """What the contract may take of the treasury's tokens."""
        return await tokens.allowance(self._rpc, self._token, self._treasury, self._address)

    async def balance(self) -> int:
        """What the treasury holds at the head."""
        return await tokens.balance(self._rpc, self._token, self._treasury)


async def open_distributor(deps: PayoutDeps, treasury: Treasury) -> Distributor | None:
    """The distributor of a treasury's network; None if there is none yet."""
    async with deps.database.platform() as session:
        address = await repository_treasuries.contract_address(session, treasury.network, DISTRIBUTOR)
        asset = await session.get_one(Asset, treasury.asset_id)
        network = await session.get_one(Network, treasury.network)
    if address is None or asset.token_address is None:
        return None
    rpc = await deps.chain(treasury.network)
    return Distributor(
        rpc, chain_id=network.chain_id, address=address, token=asset.token_address, treasury_address=treasury.address
    )


def _pairs(payments: Sequence[Payment]) -> list[tuple[str, int]]:
    return [(payment.recipient, payment.amount_atomic) for payment in payments]


def _refusal(answer: RpcError) -> Refusal:
    """Why, in words, and which payment it was, where the contract says so."""
    failed = contracts.failed_payment(answer.revert_data)
    error = contracts.decode_error(answer.revert_data)
    if failed is None:
        return Refusal(answer.message if error is None else str(error))
    inner = contracts.decode_error(failed.reason)
    said = (
        "the distributor refuses this recipient" if not failed.reason else str(inner or f"the token said 0x{failed.reason.hex()}")
    )
    return Refusal(said, failed.index)
