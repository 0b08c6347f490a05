"""A store whose pages cost what a purchase cost, sold by the x402 SDK's own middleware in a test dollar of either chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI

from guerdon.demo.facilitator import EVM, SOLANA
from guerdon.demo.sdk import (
    AssetAmount,
    FacilitatorConfig,
    HTTPFacilitatorClient,
    HTTPRequestContext,
    PaymentMiddlewareASGI,
    PaymentOption,
    RouteConfig,
    register_exact_evm_server,
    register_exact_svm_server,
    x402ResourceServer,
)

ATOMIC_PER_CENT: Final = 10_000
"""A test dollar has six decimals, as USDC has."""
DOLLAR: Final = {"name": "USD Coin", "version": "2"}
"""What the authorizations of the EVM's test dollar are signed for."""


@dataclass(frozen=True, slots=True)
class Till:
    """Where a store is paid on one network, and in which token."""

    address: str
    token: str


def store_app(facilitator_url: str, tills: Mapping[str, Till], prices: Mapping[str, int]) -> FastAPI:
    """Sells `GET /purchases/{name}` at its price in cents; `tills` are by the SDK's name of the network."""
    server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=facilitator_url)))
    register_exact_evm_server(server, EVM)
    register_exact_svm_server(server, SOLANA)

    def option(network: str, till: Till) -> PaymentOption:
        def price(asked: HTTPRequestContext) -> AssetAmount:
            cents = prices[asked.path.rpartition("/")[2]]
            return AssetAmount(amount=str(cents * ATOMIC_PER_CENT), asset=till.token, extra=dict(DOLLAR))

        return PaymentOption(scheme="exact", pay_to=till.address, price=price, network=network)

    app = FastAPI(openapi_url=None)
    routes = {"GET /purchases/*": RouteConfig(accepts=[option(network, till) for network, till in tills.items()])}
    app.add_middleware(PaymentMiddlewareASGI, routes=routes, server=server)

    @app.get("/purchases/{name}")
    def purchase(name: str) -> dict[str, Any]:
        return {"purchase": name, "cents": prices[name]}

    return app
