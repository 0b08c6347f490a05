"""Payouts on EVM networks (`rail.py`), by the distributor contract as one treasury sees it: would a batch be paid, was it, what
is its id (SAFETY S17). Reads only.
"""

from __future__ import annotations

from collections.abc import Sequence

from guerdon.chains import contracts
from guerdon.chains.contracts import PayCall
from guerdon.chains.networks import SOLANA
from guerdon.chains.port import ChainUnavailableError, RpcError
from guerdon.payouts.allowances import what_stops_all
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.payments import Payment
from guerdon.payouts.rail import BatchStatus, Call, EnvironmentProblem, Rail, Refusal
from guerdon.payouts.solana.rail import SolanaRail
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

    def transaction(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Call:
        """The call that pays a batch."""
        return Call(self._address, contracts.pay_call(self._token, batch, supersedes, _pairs(payments)))

    def name_of_batch(self, batch: bytes, payments: Sequence[Payment]) -> str:
        """The id under which the contract will know this batch, bound to its contents."""
        return contracts.batch_id(self._chain_id, self._address, self._token, batch, _pairs(payments))

    def name_of(self, call: PayCall) -> str:
        """The id under which the contract knows the batch that such a call pays."""
        return contracts.batch_id(self._chain_id, self._address, self._token, call.batch, call.payments)

    async def simulate(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Refusal | None:
        """None if the treasury could pay this now."""
        call = {
            "from": self._treasury,
            "to": self._address,
            "data": f"0x{self.transaction(batch, supersedes, payments).data.hex()}",
        }
        (answer,) = await self._rpc.batch([("eth_call", (call, "latest"))])
        if not isinstance(answer, RpcError):
            return None
        if not answer.reverted:
            raise ChainUnavailableError(str(answer)) from answer
        return _refusal(answer)

    async def statuses(self, names: Sequence[str], position: int | None = None) -> dict[str, BatchStatus]:
        """What the contract has of batches of this treasury after a block; after the finalized one, if none is given."""
        if not names:
            return {}
        number = await tokens.final_block(self._rpc) if position is None else position
        answers = [
            await tokens.read(self._rpc, self._address, contracts.status_of_call(self._treasury, value), hex(number))
            for value in names
        ]
        return {value: BatchStatus(contracts.read_status(answer)) for value, answer in zip(names, answers, strict=True)}

    async def environment_problem(self, payments: Sequence[Payment]) -> EnvironmentProblem | None:
        """What stops even a known-good transfer, the smallest amount from the treasury to itself; None if that works."""
        return await what_stops_all(self, payments)

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
        network = await session.get_one(Network, treasury.network)
    if address is None:
        return None
    rpc = await deps.chain(treasury.network)
    return Distributor(
        rpc, chain_id=network.evm_chain_id, address=address, token=treasury.token_address, treasury_address=treasury.address
    )


async def open_rail(deps: PayoutDeps, treasury: Treasury) -> Rail | None:
    """What pays from a treasury; None while that is not set up. A network of another namespace has a rail of its own here."""
    async with deps.database.platform() as session:
        network = await session.get_one(Network, treasury.network)
    if network.namespace == SOLANA:
        return None if deps.solana is None else SolanaRail(await deps.solana(treasury.network), deps.database, treasury)
    return await open_distributor(deps, treasury)


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
