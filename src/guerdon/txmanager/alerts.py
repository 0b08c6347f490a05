"""What an operator hears of from txmanager, each with the remedy; and when it is over."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from guerdon.kit.outbox import Severity, raise_alert, resolve_alert
from guerdon.txmanager.models import Intent, Key, KeyPurpose

NETWORK_SILENT = "network.silent"
NETWORK_REFUSED = "network.refused"
KEY_PAUSED = "key.paused"
KEY_OUT_OF_GAS = "key.out_of_gas"
KEY_FAILING = "key.failing"
FEE_OVER_CAP = "transaction.fee_over_cap"
SIMULATION_FAILED = "transaction.simulation_failed"
UNKNOWN = "transaction.unknown"
FAILED = "transaction.failed"


async def network_silent(session: AsyncSession, network: str, seconds: float, error: str) -> None:
    """A network has not answered for a while. Nothing was concluded from that."""
    await raise_alert(
        session, NETWORK_SILENT, network, severity=Severity.WARNING,
        message=f"{network} has not answered for {seconds:.0f} s: {error}",
        remedy="`guerdon doctor` tells whether its node can be reached. Transactions go on by themselves once it answers.",
    )  # fmt: skip


async def network_answers(session: AsyncSession, network: str) -> None:
    """It does again."""
    await resolve_alert(session, NETWORK_SILENT, network)


async def network_refused(session: AsyncSession, network: str, reason: str) -> None:
    """The engine must not work on this network: another chain, or another deployment's database (SAFETY S21)."""
    await raise_alert(
        session, NETWORK_REFUSED, network, severity=Severity.CRITICAL,
        message=f"nothing is sent on {network}: {reason}",
        remedy="`guerdon doctor` tells what differs: point the network's RPC address at the chain that it was used with, "
        "and the settings at this deployment's database. It goes on by itself then.",
    )  # fmt: skip


async def network_accepted(session: AsyncSession, network: str) -> None:
    """Chain and deployment are the right ones, as the chain has just answered."""
    await resolve_alert(session, NETWORK_REFUSED, network)
    await resolve_alert(session, NETWORK_SILENT, network)


async def key_paused(session: AsyncSession, key: Key, reason: str) -> None:
    """A key stopped signing, and an operator has to look (SAFETY S21)."""
    await raise_alert(
        session, KEY_PAUSED, str(key.id), severity=Severity.CRITICAL,
        message=f"{key.purpose} key {key.address} on {key.network} is paused: {reason}",
        remedy=f"`guerdon key import {key.address}` accounts for what the key sent and this database does not know, "
        f"then `guerdon key resume {key.address}`.",
    )  # fmt: skip


async def key_out_of_gas(session: AsyncSession, key: Key, reason: str, missing_wei: int) -> None:
    """A key can't pay its next fee."""
    remedy = f"Send the native coin of {key.network} to {key.address}; it goes on by itself."
    if key.purpose == KeyPurpose.TREASURY:
        remedy += f" From the deployer's key: `guerdon treasury fund {key.address} --wei {missing_wei}`."
    await raise_alert(
        session, KEY_OUT_OF_GAS, str(key.id), severity=Severity.CRITICAL, message=reason,
        remedy=remedy,
        details={"missing_wei": str(missing_wei)},
    )  # fmt: skip


async def key_resumed(session: AsyncSession, key: Key) -> None:
    """It signs again."""
    await resolve_alert(session, KEY_PAUSED, str(key.id))
    await resolve_alert(session, KEY_OUT_OF_GAS, str(key.id))


async def key_failing(session: AsyncSession, key: Key, seconds: float, error: str) -> None:
    """The engine can't work for a key, and not because of the network."""
    await raise_alert(
        session, KEY_FAILING, str(key.id), severity=Severity.CRITICAL,
        message=f"work for {key.purpose} key {key.address} on {key.network} has failed for {seconds:.0f} s: {error}",
        remedy="The worker's log has the error in full (`txmanager.step_failed`), `guerdon doctor` what is missing; "
        "it is tried again by itself.",
    )  # fmt: skip


async def key_works(session: AsyncSession, key: Key) -> None:
    """The engine works for a key again."""
    await resolve_alert(session, KEY_FAILING, str(key.id))


async def fee_over_cap(session: AsyncSession, key: Key, asked_wei: int, cap_wei: int | None) -> None:
    """Transactions wait because the network asks for more than the operator allows."""
    await raise_alert(
        session, FEE_OVER_CAP, str(key.id), severity=Severity.WARNING,
        message=f"transactions of {key.address} on {key.network} wait: gas costs {asked_wei} wei, the cap is {cap_wei}",
        remedy=f"They go on by themselves when fees fall, or raise the network's cap: "
        f"`guerdon network add {key.network} --max-fee-per-gas {2 * asked_wei}`.",
    )  # fmt: skip


async def fee_within_cap(session: AsyncSession, key: Key) -> None:
    """Fees are below the cap again."""
    await resolve_alert(session, FEE_OVER_CAP, str(key.id))


async def simulation_failed(session: AsyncSession, key: Key, intent: Intent, error: str) -> None:
    """An intent would revert; it has no nonce."""
    await raise_alert(
        session, SIMULATION_FAILED, str(intent.id), severity=Severity.WARNING,
        message=f"{intent.kind} by {key.address} on {key.network} would revert and is not sent: {error}",
        remedy="It is tried again by itself. Mend the cause: an allowance, a balance (`guerdon treasury list`), a role, a token "
        "that is paused.",
        details={"intent_id": str(intent.id), "ref": str(intent.ref)},
    )  # fmt: skip


async def simulation_passed(session: AsyncSession, intent: Intent) -> None:
    """It has a nonce now, or was cancelled."""
    await resolve_alert(session, SIMULATION_FAILED, str(intent.id))


async def intent_unknown(session: AsyncSession, key: Key, intent: Intent, error: str) -> None:
    """It may have happened or may still happen."""
    remedy = "Wait: it is sent again with higher fees, and nothing is made anew before the chain proves that it can't land."
    if intent.kind == "pay":
        remedy += f" Or `guerdon payout kill {intent.ref}`, and `guerdon payout retry --batch {intent.ref}` once that is final."
    await raise_alert(
        session, UNKNOWN, str(intent.id), severity=Severity.CRITICAL,
        message=f"{intent.kind} with nonce {intent.nonce} by {key.address} on {key.network}: {error}",
        remedy=remedy,
        details={"intent_id": str(intent.id), "transaction_hash": intent.transaction_hash, "nonce": intent.nonce},
    )  # fmt: skip


async def intent_failed(session: AsyncSession, intent: Intent) -> None:
    """It reverted in a final block: the fee is spent and nothing else happened. Over when the key's next of its kind succeeds."""
    await raise_alert(
        session, FAILED, _kind_of_key(intent), severity=Severity.WARNING,
        message=f"{intent.kind} reverted on {intent.network}, transaction {intent.transaction_hash}",
        remedy="Look at the transaction for the cause. Payouts and approvals are sent anew by themselves; a program whose "
        "minting failed is funded again: `guerdon program fund BRAND_ID --amount POINTS`.",
        details={"intent_id": str(intent.id), "ref": str(intent.ref)},
    )  # fmt: skip


async def intent_succeeded(session: AsyncSession, intent: Intent) -> None:
    """It did what it was to do: what made others of its kind fail is over."""
    await resolve_alert(session, FAILED, _kind_of_key(intent))


async def intent_settled(session: AsyncSession, intent: Intent) -> None:
    """What became of it is certain."""
    await resolve_alert(session, UNKNOWN, str(intent.id))


def _kind_of_key(intent: Intent) -> str:
    return f"{intent.key_id}:{intent.kind}"
