"""The ordinary x402 SDK pays and settles on the local Solana, and what it moved is read from the chain."""

from __future__ import annotations

from pathlib import Path

import pytest
from solders.keypair import Keypair
from x402.mechanisms.svm.exact.client import ExactSvmScheme as Client
from x402.mechanisms.svm.exact.facilitator import ExactSvmScheme as Facilitator
from x402.mechanisms.svm.signers import FacilitatorKeypairSigner, KeypairSigner
from x402.schemas.payments import PaymentPayload, PaymentRequirements

from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.transfers import token_transfers
from tests.support.local_solana import running_solana
from tests.support.solana_tokens import held, holding, made_mint

DEVNET = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
"""The SDK knows three clusters and no other: this one's name stands for the address that it is given."""


# The SDK uses solana-py's older client, and closes no connection of it.
@pytest.mark.filterwarnings("ignore")
async def test_a_payment_of_the_real_x402_sdk_lands_and_is_read(tmp_path: Path) -> None:
    with running_solana(tmp_path, slot_ms=100) as solana:
        issuer, facilitator, buyer, shop = solana.funded(), solana.funded(), Keypair(), Keypair().pubkey()
        mint = made_mint(solana, issuer)
        source = holding(solana, mint, issuer, buyer.pubkey(), 5_000_000)
        target = holding(solana, mint, issuer, shop)
        solana.advance(40)
        wanted = PaymentRequirements(
            scheme="exact", network=DEVNET, asset=mint.address, amount="1000", pay_to=str(shop), max_timeout_seconds=60,
            extra={"feePayer": str(facilitator.pubkey())},
        )  # fmt: skip
        paying, signer = Client(KeypairSigner(buyer), solana.url), FacilitatorKeypairSigner(facilitator, solana.url)
        paid = paying.create_payment_payload(wanted)
        payload = PaymentPayload(payload=paid, accepted=wanted)
        settling = Facilitator(signer)
        assert settling.verify(payload, wanted).is_valid
        settled = settling.settle(payload, wanted)
        assert settled.success, settled
        for one in (*paying._clients.values(), *signer._clients.values()):
            one._provider.session.close()
        assert held(solana, target) == 1_000
        solana.advance(40)
        async with SolanaClient(solana.url) as client:
            found = await client.transaction(settled.transaction)
        assert found is not None
        (one,) = token_transfers(found)
        assert (found.fee_payer, one.is_checked) == (str(facilitator.pubkey()), True)
        assert (one.source, one.source_owner, one.destination, one.destination_owner) == (
            source,
            str(buyer.pubkey()),
            target,
            str(shop),
        )
        assert (one.mint, one.amount_atomic, one.decimals) == (mint.address, 1_000, 6)
