"""Which tokens' payments count, and what they are worth: the platform's decision, with presets. Nothing here commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from guerdon.activity.settlements import repository_sources
from guerdon.activity.settlements.errors import (
    InvalidSignerError,
    NoPresetError,
    SettlementAssetNotFoundError,
    SettlementNetworkError,
)
from guerdon.activity.settlements.models import SettlementAsset
from guerdon.activity.settlements.names import Network, address_on
from guerdon.activity.settlements.schemas import SettlementAssetInput, SettlementAssetView
from guerdon.activity.settlements.sources import known_networks
from guerdon.kit.database import PlatformSession, ScopedSession

MICRO_USD: Final = 1_000_000
LARGEST_VOLUME: Final = 2**63 - 1
_USDC_DECIMALS: Final = 6

USDC: Final[Mapping[str, str]] = {
    "eip155:1": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
    "eip155:8453": "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    "eip155:84532": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1": "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
}
"""Circle's own dollar by CAIP-2 id; six decimals everywhere."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A token whose payments count."""

    address: str
    symbol: str
    decimals: int
    micro_usd_per_token: int

    def volume_micro_usd(self, amount_atomic: int) -> int:
        """What an amount of the smallest unit is worth, rounded down: integers only, 18 decimals or 6."""
        return amount_atomic * self.micro_usd_per_token // 10**self.decimals


def listed(rows: Iterable[SettlementAsset]) -> dict[str, dict[str, Listed]]:
    """By network and address, as they are stored."""
    found: dict[str, dict[str, Listed]] = {}
    for row in rows:
        asset = Listed(row.address, row.symbol, row.decimals, row.micro_usd_per_token)
        found.setdefault(row.network, {})[row.address] = asset
    return found


async def set_asset(session: PlatformSession, given: SettlementAssetInput, now: datetime) -> SettlementAssetView:
    """Add an asset, or change it: what was credited before stays as it was."""
    network = await _network(session, given.network)
    address = address_on(network.namespace, given.address)
    if address is None:
        raise InvalidSignerError("The asset's address is none of its network.", details={"address": given.address})
    values: dict[str, Any] = {
        "network": network.name,
        "address": address,
        "symbol": given.symbol,
        "decimals": given.decimals,
        "micro_usd_per_token": given.micro_usd_per_token,
        "enabled": given.enabled,
        "created_at": now,
        "updated_at": now,
    }
    return SettlementAssetView.model_validate(await repository_sources.upsert_asset(session, values))


async def set_preset(session: PlatformSession, network_text: str, now: datetime) -> SettlementAssetView:
    """USDC of a network that it is known for, at one dollar. Raises `NoPresetError`."""
    network = await _network(session, network_text)
    address = USDC.get(network.caip2)
    if address is None:
        raise NoPresetError
    preset = SettlementAssetInput(
        network=network.name, address=address, symbol="USDC", decimals=_USDC_DECIMALS, micro_usd_per_token=MICRO_USD
    )
    return await set_asset(session, preset, now)


async def remove_asset(session: PlatformSession, network_text: str, address_text: str, now: datetime) -> None:
    """From now on its payments do not count; those that did stay. Raises `SettlementAssetNotFoundError`."""
    network = await _network(session, network_text)
    address = address_on(network.namespace, address_text)
    if address is None or not await repository_sources.disable_asset(session, network.name, address, now):
        raise SettlementAssetNotFoundError


async def asset_views(session: ScopedSession) -> list[SettlementAssetView]:
    """All of them, also those that count no more."""
    return [SettlementAssetView.model_validate(row) for row in await repository_sources.settlement_assets(session)]


async def _network(session: ScopedSession, text: str) -> Network:
    found = (await known_networks(session)).find(text)
    if found is None:
        raise SettlementNetworkError(f"{text} is not set up here; add it with `guerdon network add`.")
    return found
