"""The methods that read the state: accounts, slots, blockhashes, and what a node says of itself.

A method takes its parameters and returns the `result`, or raises `RpcFaultError`. Transactions: `methods_transactions.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from solders.message import from_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from guerdon.chains.localsolana import parameters
from guerdon.chains.localsolana.bank import NOBODY, SIGNATURE_FEE, TOKEN_PROGRAMS, is_token_account
from guerdon.chains.localsolana.chain import LocalSolana
from guerdon.chains.localsolana.encoding import ACCOUNT_ENCODINGS, account_json, key_of
from guerdon.chains.localsolana.errors import RpcFaultError, invalid
from guerdon.chains.localsolana.parameters import Parameters
from guerdon.chains.localsolana.parsed import ui_amount
from guerdon.chains.localsolana.slots import FIRST_SLOT, MAX_AGE, has_block, height

VERSION: Final = "2.3.13"
_FEATURE_SET: Final = 3640012085
_MOST_ACCOUNTS: Final = 100
_LARGEST_ACCOUNT: Final = 10 * 1024 * 1024
_FEE_SLOTS: Final = 150
_MINT_BYTES: Final = 82
_EPOCH_SLOTS: Final = 432_000
_MOST_ADVANCE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Call:
    """One call: the chain, and the parameters."""

    chain: LocalSolana
    params: Parameters


Method = Callable[[Call], Any | Awaitable[Any]]


def in_context(slot: int, value: Any) -> dict[str, Any]:
    """A value with the slot that it is of."""
    return {"context": {"apiVersion": VERSION, "slot": slot}, "value": value}


def _decimals(call: Call, slot: int) -> Callable[[Pubkey], int | None]:
    def decimals(mint: Pubkey) -> int | None:
        found = call.chain.account(mint, slot)
        return None if found is None or len(found.data) < _MINT_BYTES else found.data[44]

    return decimals


def _shown(call: Call, slot: int, place: int) -> Callable[[Pubkey], Any]:
    options = call.params.options(place)
    encoding = options.choice("encoding", ("binary", *ACCOUNT_ENCODINGS))
    wanted = options.get("dataSlice")
    cut = None
    if wanted is not None:
        try:
            cut = (int(wanted["offset"]), int(wanted["length"]))
        except (KeyError, TypeError, ValueError):
            raise invalid("Invalid params: dataSlice has an offset and a length.") from None
    decimals = _decimals(call, slot)
    named = None if encoding == "binary" else encoding
    return lambda key: account_json(call.chain.account(key, slot), named, cut, decimals)


def get_account_info(call: Call) -> Any:
    """See the documentation of Solana's RPC methods, as with all of these."""
    slot = call.params.options(1).slot()
    return in_context(slot, _shown(call, slot, 1)(key_of(call.params.at(0))))


def get_multiple_accounts(call: Call) -> Any:
    """Several accounts at one slot."""
    keys = [key_of(one) for one in call.params.listed(0, _MOST_ACCOUNTS, "inputs")]
    slot = call.params.options(1).slot()
    shown = _shown(call, slot, 1)
    return in_context(slot, [shown(key) for key in keys])


def get_balance(call: Call) -> Any:
    """Lamports of an account."""
    slot = call.params.options(1).slot()
    found = call.chain.account(key_of(call.params.at(0)), slot)
    return in_context(slot, 0 if found is None else found.lamports)


def get_token_account_balance(call: Call) -> Any:
    """What a token account holds."""
    slot = call.params.options(1).slot()
    found = call.chain.account(key_of(call.params.at(0)), slot)
    if found is None:
        raise invalid("Invalid param: could not find account")
    if not is_token_account(found):
        raise invalid("Invalid param: not a Token account")
    decimals = _decimals(call, slot)(Pubkey(found.data[:32]))
    if decimals is None:
        raise invalid("Invalid param: could not find mint")
    return in_context(slot, ui_amount(int.from_bytes(found.data[64:72], "little"), decimals))


def get_token_supply(call: Call) -> Any:
    """How much there is of a token."""
    slot = call.params.options(1).slot()
    found = call.chain.account(key_of(call.params.at(0)), slot)
    if found is None:
        raise invalid("Invalid param: could not find mint")
    if found.owner not in TOKEN_PROGRAMS or len(found.data) < _MINT_BYTES or is_token_account(found):
        raise invalid("Invalid param: not a Token mint")
    return in_context(slot, ui_amount(int.from_bytes(found.data[36:44], "little"), found.data[44]))


def get_minimum_balance_for_rent_exemption(call: Call) -> Any:
    """Lamports that an account of a size needs."""
    size = call.params.integer(0)
    if size > _LARGEST_ACCOUNT:
        raise invalid(f"Invalid params: an account has at most {_LARGEST_ACCOUNT} bytes.")
    return call.chain.rent(size)


def get_slot(call: Call) -> Any:
    """The newest slot of a commitment."""
    return call.params.options(0).slot()


def get_block_height(call: Call) -> Any:
    """The height of the newest block of a commitment."""
    return height(call.params.options(0).slot())


def get_latest_blockhash(call: Call) -> Any:
    """A blockhash, and the last height at which it may be used."""
    slot = call.params.options(0).slot()
    blockhash = str(call.chain.slots.blockhash(slot))
    return in_context(slot, {"blockhash": blockhash, "lastValidBlockHeight": height(slot) + MAX_AGE})


def is_blockhash_valid(call: Call) -> Any:
    """May a blockhash still be used?"""
    slot = call.params.options(1).slot()
    key_of(call.params.at(0))
    made = call.chain.slots.slot_of(call.params.at(0))
    return in_context(slot, made is not None and slot - MAX_AGE <= made <= slot)


def get_fee_for_message(call: Call) -> Any:
    """What a message's transaction would pay; null where its blockhash is not known."""
    slot = call.params.options(1).slot()
    raw = parameters.decoded(call.params.at(0), "base64")
    try:
        message = from_bytes_versioned(raw)
    except ValueError as error:
        raise invalid(f"invalid transaction message: {error}") from error
    made = call.chain.slots.slot_of(str(message.recent_blockhash))
    if made is None or not slot - MAX_AGE <= made <= slot:
        return in_context(slot, None)
    signers = message.header.num_required_signatures
    bare = VersionedTransaction.populate(message, [])
    return in_context(slot, call.chain.fee(bare) + SIGNATURE_FEE * signers)


def get_recent_prioritization_fees(call: Call) -> Any:
    """The least that a transaction of each of the last blocks offered a compute unit, in micro-lamports."""
    head = call.chain.slots.head()
    told: list[dict[str, int]] = []
    for slot in range(max(FIRST_SLOT, head - _FEE_SLOTS + 1), head + 1):
        prices = [entry.price for entry in call.chain.history.of_slot(slot)]
        told.append({"slot": slot, "prioritizationFee": min(prices, default=0)})
    return told


def get_block_time(call: Call) -> Any:
    """When a block was made, in Unix seconds."""
    slot = call.params.integer(0)
    if slot > call.chain.slots.at("confirmed"):
        raise RpcFaultError(-32004, f"Block not available for slot {slot}")
    return call.chain.slots.time_of(slot) if has_block(slot) else None


def get_first_available_block(call: Call) -> Any:
    """The first block that this node can tell about."""
    return call.chain.history.first_slot


def get_genesis_hash(call: Call) -> Any:
    """Which chain this is."""
    return call.chain.genesis_hash


def get_epoch_info(call: Call) -> Any:
    """Where the chain stands; it has one endless epoch."""
    slot = call.params.options(0).slot()
    return {
        "absoluteSlot": slot,
        "blockHeight": height(slot),
        "epoch": 0,
        "slotIndex": slot,
        "slotsInEpoch": max(_EPOCH_SLOTS, slot + 1),
        "transactionCount": call.chain.history.count,
    }


def get_transaction_count(call: Call) -> Any:
    """How many transactions there were."""
    call.params.options(0).slot()
    return call.chain.history.count


def advance_slots(call: Call) -> Any:
    """No method of Solana: let slots pass at once."""
    slots = call.params.integer(0)
    if slots > _MOST_ADVANCE:
        raise invalid(f"at most {_MOST_ADVANCE} slots at a time")
    call.chain.advance(slots)
    return call.chain.slots.head()


METHODS: Final[dict[str, Method]] = {
    "getAccountInfo": get_account_info,
    "getBalance": get_balance,
    "getBlockHeight": get_block_height,
    "getBlockTime": get_block_time,
    "getEpochInfo": get_epoch_info,
    "getFeeForMessage": get_fee_for_message,
    "getFirstAvailableBlock": get_first_available_block,
    "getGenesisHash": get_genesis_hash,
    "getHealth": lambda _: "ok",
    "getIdentity": lambda call: {"identity": str(call.chain.faucet.pubkey())},
    "getLatestBlockhash": get_latest_blockhash,
    "getMinimumBalanceForRentExemption": get_minimum_balance_for_rent_exemption,
    "getMultipleAccounts": get_multiple_accounts,
    "getRecentPrioritizationFees": get_recent_prioritization_fees,
    "getSlot": get_slot,
    "getSlotLeader": lambda _: str(NOBODY),
    "getTokenAccountBalance": get_token_account_balance,
    "getTokenSupply": get_token_supply,
    "getTransactionCount": get_transaction_count,
    "getVersion": lambda _: {"feature-set": _FEATURE_SET, "solana-core": VERSION},
    "guerdon_advanceSlots": advance_slots,
    "isBlockhashValid": is_blockhash_valid,
    "minimumLedgerSlot": get_first_available_block,
}
"""By name."""
