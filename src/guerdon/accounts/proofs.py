"""What proves that an address is somebody's: a signature of its key, its contract's word, a transfer that it made (SAFETY S7).

Chains are asked here, so nothing here runs inside a transaction. What a proof leads to is `registry.py` and `sign_in.py`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, Protocol

from guerdon.accounts import repository_members
from guerdon.accounts.errors import TransferNotFinalError, TransferProofError, WalletSignatureError
from guerdon.accounts.models import Address, ProofMethod
from guerdon.accounts.models_members import Challenge
from guerdon.accounts.signatures import (
    MAX_SIGNATURE_CHARACTERS,
    evm_bytes,
    is_signed_by_key,
    is_signed_on_solana,
    personal_hash,
)
from guerdon.chains.contract_wallets import judged
from guerdon.chains.evm import EvmClient
from guerdon.chains.networks import EIP155, SOLANA
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.programs import SYSTEM
from guerdon.chains.solana.transfers import ChainTransaction
from guerdon.kit.database import Database
from guerdon.txmanager.connections import RpcNotConfiguredError
from guerdon.txmanager.errors import NetworkNotFoundError

_HASH: Final = re.compile(r"0x[0-9a-f]{64}")
_SIGNATURE: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,88}")
_TRANSFER_LAMPORTS: Final = (2).to_bytes(4, "little")
"""How the data of the System Program's transfer begins; the amount follows."""
_DELEGATED: Final = b"\xef\x01\x00"
"""How the code of an ordinary account begins that delegates to a contract (EIP-7702): it is still its key's."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A proof that held."""

    method: ProofMethod
    chain_id: int | None
    """Set where it holds on this chain alone."""
    text: str
    """For the record, as JSON."""


class Chains(Protocol):
    """Gives the client of a network by its name; raises a `GuerdonError` if the network can't be asked."""

    async def __call__(self, network: str, /) -> EvmClient:
        """Of an EVM network."""
        ...

    async def solana(self, network: str, /) -> SolanaClient:
        """Of a Solana."""
        ...


@dataclass(frozen=True, slots=True)
class Prover:
    """Checks proofs; asks chains where a key's signature does not do."""

    database: Database
    chains: Chains

    async def signed(self, challenge: Challenge, signature: str) -> Proven:
        """What a signature of the challenge's message proves.

        Raises `WalletSignatureError`; `ChainUnavailableError` where a contract wallet can't be asked now.
        """
        text = json.dumps({"message": challenge.message, "signature": signature})
        if challenge.namespace != EIP155:
            if not is_signed_on_solana(challenge.message, signature, challenge.address):
                raise WalletSignatureError
            return Proven(ProofMethod.ED25519, None, text)
        raw = evm_bytes(signature)
        if raw is None:
            message = f"A signature is 0x and hexadecimal digits, {MAX_SIGNATURE_CHARACTERS} characters at most."
            raise WalletSignatureError(message)
        if is_signed_by_key(challenge.message, raw, challenge.address):
            return Proven(ProofMethod.EIP191, None, text)
        if challenge.chain_id is None:
            raise WalletSignatureError
        method = await self._accepted(challenge.network, challenge.chain_id, challenge.address, challenge.message, raw)
        if method is None:
            raise WalletSignatureError
        return Proven(method, challenge.chain_id, text)

    async def still_holds(self, address: Address) -> bool:
        """Is a recorded proof still good? What a contract wallet said is asked again (SAFETY S7); a key's signature stays.

        Raises `ChainUnavailableError` and the like: then nothing is known.
        """
        if address.proof_method not in {ProofMethod.EIP1271, ProofMethod.EIP6492}:
            return True
        if address.proof is None or address.chain_id is None:
            return False
        said = json.loads(address.proof)
        raw = evm_bytes(said["signature"])
        if raw is None:
            return False
        client = await self._client(address.network, address.chain_id)
        wallet, digest = address.address, personal_hash(said["message"])
        return await judged(client, wallet, digest, raw) is not None

    async def transferred(self, challenge: Challenge, transaction_hash: str) -> Proven:
        """What a transfer of native coin, as the challenge asks for it, proves.

        Raises `TransferProofError`, `TransferNotFinalError`, `ChainUnavailableError` and the like.
        """
        if challenge.transfer_to is None or challenge.transfer_amount is None:
            raise TransferProofError("This address was asked for a signature; register it anew with `proof: transfer`.")
        if challenge.namespace == SOLANA:
            return await self._transferred_on_solana(challenge, challenge.transfer_amount, transaction_hash)
        asked = (challenge.address, challenge.transfer_to.lower(), challenge.transfer_amount, b"")
        return await self._transferred_on_evm(challenge, asked, transaction_hash.lower())

    async def _transferred_on_evm(self, challenge: Challenge, asked: tuple[str, str, int, bytes], key: str) -> Proven:
        """`asked`: who sends whom how much with which data."""
        if challenge.chain_id is None or _HASH.fullmatch(key) is None:
            raise TransferProofError
        client = await self._client(challenge.network, challenge.chain_id)
        found = (await client.transactions([key])).get(key)
        # The coin's own sender and amount: what a token's log says anybody may make it say.
        if found is None or (found.sender.lower(), (found.to or "").lower(), found.value, found.data) != asked:
            raise TransferProofError
        receipt = (await client.receipts([key])).get(key)
        if receipt is None:
            raise TransferNotFinalError(retry_after=5)
        if not receipt.succeeded:
            raise TransferProofError
        if receipt.block_number > (await client.head("finalized")).number:
            raise TransferNotFinalError(retry_after=15)
        made = (await client.block_by_number(receipt.block_number)).head
        if made.hash != receipt.block_hash:
            raise TransferNotFinalError(retry_after=5)
        # What was sent before anybody asked for it was sent for another reason, whatever its amount.
        if made.timestamp + _CLOCK_SKEW_SECONDS < challenge.created_at.timestamp():
            raise TransferProofError
        code = await client.code(challenge.address, "latest")
        is_contract = bool(code) and not code.startswith(_DELEGATED)
        text = json.dumps({"network": challenge.network, "transaction": key})
        return Proven(ProofMethod.TRANSFER, challenge.chain_id if is_contract else None, text)

    async def _transferred_on_solana(self, challenge: Challenge, lamports: int, signature: str) -> Proven:
        """A transfer of the address to itself: nobody who pays fees for others, or pays others out, sends that for anyone."""
        if _SIGNATURE.fullmatch(signature) is None:
            raise TransferProofError
        found = await (await self.chains.solana(challenge.network)).transaction(signature, "finalized")
        if found is None:
            raise TransferNotFinalError(retry_after=5)
        if not sends_itself(found, challenge.address, lamports) or not found.succeeded or found.block_time is None:
            raise TransferProofError
        if found.block_time + _CLOCK_SKEW_SECONDS < challenge.created_at.timestamp():
            raise TransferProofError
        return Proven(ProofMethod.TRANSFER, None, json.dumps({"network": challenge.network, "transaction": signature}))

    async def _accepted(self, network: str, chain_id: int, wallet: str, message: str, signature: bytes) -> ProofMethod | None:
        try:
            client = await self._client(network, chain_id)
        except (RpcNotConfiguredError, NetworkNotFoundError) as error:
            words = f"This is not the signature of the address's own key, and contract wallets on {network} can't be asked here."
            raise WalletSignatureError(words) from error
        found = await judged(client, wallet, personal_hash(message), signature)
        return None if found is None else ProofMethod(found.value)

    async def _client(self, network: str, chain_id: int) -> EvmClient:
        async with self.database.platform() as session:
            name = await repository_members.network_of_chain(session, network, chain_id)
        if name is None:
            raise NetworkNotFoundError
        return await self.chains(name)


def sends_itself(transaction: ChainTransaction, address: str, lamports: int) -> bool:
    """Does the address send itself so much, by an instruction of the transaction's own?

    Who pays fees signs what others have put together, whose programs may then call others in its name. Only where the address is
    a program's, and signs by it, it is one that the program called.
    """
    asked = (SYSTEM, (address, address), _TRANSFER_LAMPORTS + lamports.to_bytes(8, "little"))
    signs = address in transaction.signers
    return any(
        (one.program, one.accounts, one.data) == asked and (one.place.inner < 0) == signs for one in transaction.instructions
    )


_CLOCK_SKEW_SECONDS: Final = 15
