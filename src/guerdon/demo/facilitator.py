"""A payment facilitator: the x402 SDK settles what buyers have signed, on the local EVM chain and on the local Solana.

What tells Guerdon of it is the one line with `x402.report`; the rest is what every facilitator has.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import Body, FastAPI
from solders.keypair import Keypair

from guerdon import x402
from guerdon.chains.networks import LOCAL_CHAIN_ID
from guerdon.demo.sdk import (
    FacilitatorKeypairSigner,
    FacilitatorWeb3Signer,
    PaymentPayload,
    PaymentRequirements,
    register_exact_evm_facilitator,
    register_exact_svm_facilitator,
    x402FacilitatorSync,
)

EVM: Final = f"eip155:{LOCAL_CHAIN_ID}"
SOLANA: Final = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"
"""Of Solana's clusters the SDK knows three and no other, so devnet's id stands for this machine's. The source says so
(`networkNames`), and whatever is reported under it is looked for on the local Solana alone."""


@dataclass(frozen=True, slots=True)
class Signers:
    """Where the chains are, and who sends and pays for the facilitator's transactions there."""

    evm_url: str
    evm_key: bytes
    solana_url: str
    solana_key: Keypair


def facilitator(signers: Signers, url: str, secret: str, outbox: Path) -> x402FacilitatorSync:
    """One that settles on both chains and reports to Guerdon: `url` and `secret` are its source's."""
    sdk = x402FacilitatorSync()
    register_exact_evm_facilitator(sdk, FacilitatorWeb3Signer(signers.evm_key.hex(), signers.evm_url), EVM)
    register_exact_svm_facilitator(sdk, FacilitatorKeypairSigner(signers.solana_key, signers.solana_url), SOLANA)
    return x402.report(sdk, url=url, secret=secret, outbox=outbox)


Payload = Annotated[PaymentPayload, Body(alias="paymentPayload")]
Requirements = Annotated[PaymentRequirements, Body(alias="paymentRequirements")]


def facilitator_app(sdk: x402FacilitatorSync) -> FastAPI:
    """The facilitator's HTTP interface, as the protocol has it. The SDK waits for the chain, so each call has a thread."""
    app = FastAPI(openapi_url=None)

    @app.get("/supported")
    def supported() -> Any:
        return sdk.get_supported()

    @app.post("/verify")
    def verify(payload: Payload, requirements: Requirements) -> Any:
        return sdk.verify(payload, requirements)

    @app.post("/settle")
    def settle(payload: Payload, requirements: Requirements) -> Any:
        return sdk.settle(payload, requirements)

    return app
