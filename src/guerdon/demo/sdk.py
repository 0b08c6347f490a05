"""What the demo takes of the x402 SDK, which is installed with `guerdon[demo]`."""

# Parts of it lie in folders that say nothing of types.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # What it imports warns of its own parts.
    warnings.simplefilter("ignore")
    from x402 import x402Client, x402FacilitatorSync, x402ResourceServer
    from x402.http import FacilitatorConfig, HTTPFacilitatorClient
    from x402.http.clients.httpx import PaymentError, x402HttpxClient
    from x402.http.middleware.fastapi import PaymentMiddlewareASGI
    from x402.http.types import HTTPRequestContext, PaymentOption, RouteConfig
    from x402.mechanisms.evm.exact import (
        ExactEvmScheme,
        register_exact_evm_facilitator,
        register_exact_evm_server,
    )
    from x402.mechanisms.evm.signers import EthAccountSigner, FacilitatorWeb3Signer
    from x402.mechanisms.svm.exact import (
        ExactSvmScheme,
        register_exact_svm_facilitator,
        register_exact_svm_server,
    )
    from x402.mechanisms.svm.signers import FacilitatorKeypairSigner, KeypairSigner
    from x402.schemas import AssetAmount, PaymentPayload, PaymentRequirements

__all__ = [
    "AssetAmount",
    "EthAccountSigner",
    "ExactEvmScheme",
    "ExactSvmScheme",
    "FacilitatorConfig",
    "FacilitatorKeypairSigner",
    "FacilitatorWeb3Signer",
    "HTTPFacilitatorClient",
    "HTTPRequestContext",
    "KeypairSigner",
    "PaymentError",
    "PaymentMiddlewareASGI",
    "PaymentOption",
    "PaymentPayload",
    "PaymentRequirements",
    "RouteConfig",
    "register_exact_evm_facilitator",
    "register_exact_evm_server",
    "register_exact_svm_facilitator",
    "register_exact_svm_server",
    "x402Client",
    "x402FacilitatorSync",
    "x402HttpxClient",
    "x402ResourceServer",
]
