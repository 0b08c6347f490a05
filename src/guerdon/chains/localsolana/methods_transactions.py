"""The methods that take, try out and tell transactions."""

from __future__ import annotations

from typing import Any, Final

from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from guerdon.chains.localsolana import parameters
from guerdon.chains.localsolana.bank import Ran
from guerdon.chains.localsolana.encoding import (
    ACCOUNT_ENCODINGS,
    TRANSACTION_ENCODINGS,
    account_json,
    inner_json,
    key_of,
    return_data_json,
    status_json,
    transaction_json,
)
from guerdon.chains.localsolana.errors import RpcFaultError, describe, invalid
from guerdon.chains.localsolana.history import Entry
from guerdon.chains.localsolana.methods import Call, Method, in_context
from guerdon.chains.localsolana.slots import FIRST_SLOT, MAX_AGE, has_block, height

_MOST_SIGNATURES: Final = 1_000
_MOST_STATUSES: Final = 256
_RECENT_SLOTS: Final = 300
_MOST_CONFIRMATIONS: Final = 31
_MOST_AIRDROP: Final = 1_000_000 * 10**9


async def send_transaction(call: Call) -> Any:
    """Take a transaction. Without preflight it may be dropped without a word, as on any cluster."""
    options = call.params.options(1)
    transaction = parameters.transaction(call.params.at(0), options.choice("encoding", ("base58", "base64")) or "base58")
    chain = call.chain
    if not options.flag("skipPreflight"):
        if not all(transaction.verify_with_results()):
            raise RpcFaultError(-32003, "Transaction signature verification failure")
        slot = options.slot(name="preflightCommitment")
        error = chain.why_not(transaction, slot)
        ran = None
        if error is None:
            ran = chain.simulate(transaction, slot, verify=True)
            error = ran.error
        if error is not None:
            raise RpcFaultError(-32002, f"Transaction simulation failed: {describe(error)}", _simulated(error, ran))
    else:
        options.slot(name="preflightCommitment", otherwise="processed")
    chain.take(transaction)
    # Said only once it is on disk: whoever was told a signature finds it after a power cut.
    await chain.durable()
    return str(transaction.signatures[0])


def simulate_transaction(call: Call) -> Any:
    """What a transaction would do, without doing it."""
    options = call.params.options(1)
    transaction = parameters.transaction(call.params.at(0), options.choice("encoding", ("base58", "base64")) or "base58")
    replace, verify = options.flag("replaceRecentBlockhash"), options.flag("sigVerify")
    if replace and verify:
        raise invalid("sigVerify may not be used with replaceRecentBlockhash")
    if verify and not all(transaction.verify_with_results()):
        raise RpcFaultError(-32003, "Transaction signature verification failure")
    slot = options.slot()
    told: dict[str, Any] = {}
    if replace:
        blockhash = call.chain.slots.blockhash(slot)
        transaction = _with_blockhash(transaction, str(blockhash))
        told["replacementBlockhash"] = {"blockhash": str(blockhash), "lastValidBlockHeight": height(slot) + MAX_AGE}
    error = call.chain.why_not(transaction, slot, check_blockhash=not replace)
    ran = None
    if error is None:
        ran = call.chain.simulate(transaction, slot, verify=verify)
        error = ran.error
    told = {**_simulated(error, ran, inner=options.flag("innerInstructions")), **told}
    told["accounts"] = _accounts(options.get("accounts"), ran)
    return in_context(slot, told)


def _simulated(error: Any, ran: Ran | None, *, inner: bool = False) -> dict[str, Any]:
    keys = [] if ran is None else [str(key) for key in ran.keys]
    return {
        "accounts": None,
        "err": error,
        "innerInstructions": inner_json(ran.inner, keys, "jsonParsed") if inner and ran is not None else None,
        "loadedAccountsDataSize": 0 if ran is None else sum(len(one.data) for one in ran.before if one is not None),
        "logs": [] if ran is None else ran.logs,
        "returnData": None if ran is None or ran.return_data is None else return_data_json(ran.return_data),
        "unitsConsumed": 0 if ran is None else ran.units,
    }


def _accounts(wanted: Any, ran: Ran | None) -> Any:
    if wanted is None:
        return None
    encoding = wanted.get("encoding") or "base64"
    addresses = [key_of(one) for one in wanted.get("addresses", ())]
    if encoding not in ACCOUNT_ENCODINGS or encoding == "base58":
        raise invalid("base58 encoding not supported")
    if ran is None or ran.error is not None:
        return [None] * len(addresses)
    after = dict(zip(ran.keys, ran.after, strict=True))
    return [account_json(after.get(key), encoding, None, _no_decimals) for key in addresses]


def _no_decimals(_: Pubkey) -> None:
    return None


def _with_blockhash(transaction: VersionedTransaction, blockhash: str) -> VersionedTransaction:
    raw, old = bytes(transaction), bytes(transaction.message.recent_blockhash)
    place = raw.rindex(old, 1 + 64 * len(transaction.signatures))
    changed = raw[:place] + parameters.decoded(blockhash, "base58") + raw[place + len(old) :]
    return VersionedTransaction.from_bytes(changed)


def get_signature_statuses(call: Call) -> Any:
    """Where transactions stand. Without searching, of the last blocks only."""
    given = [parameters.signature(one) for one in call.params.listed(0, _MOST_STATUSES, "inputs")]
    search = call.params.options(1).flag("searchTransactionHistory")
    head, finalized = call.chain.slots.head(), call.chain.slots.at("finalized")
    told: list[Any] = []
    for one in given:
        entry = call.chain.history.by_signature(bytes(one))
        hidden = entry is None or (entry.slot < finalized - _RECENT_SLOTS and not search)
        told.append(None if entry is None or hidden else _status(call, entry, head, finalized))
    return in_context(head, told)


def _status(call: Call, entry: Entry, head: int, finalized: int) -> dict[str, Any]:
    return {
        "slot": entry.slot,
        "confirmations": None if entry.slot <= finalized else min(_MOST_CONFIRMATIONS, head - entry.slot),
        "err": entry.error,
        "status": status_json(entry.error),
        "confirmationStatus": _commitment(call, entry.slot),
    }


def _commitment(call: Call, slot: int) -> str:
    if slot <= call.chain.slots.at("finalized"):
        return "finalized"
    return "confirmed" if slot <= call.chain.slots.at("confirmed") else "processed"


def get_signatures_for_address(call: Call) -> Any:
    """The transactions that name an account, newest first."""
    address, options = bytes(key_of(call.params.at(0))), call.params.options(1)
    slot = options.rooted()
    limit = options.integer("limit") if options.get("limit") is not None else _MOST_SIGNATURES
    if not limit or limit > _MOST_SIGNATURES:
        raise invalid(f"Invalid limit; max {_MOST_SIGNATURES}")
    before, until = (
        None if options.get(name) is None else call.chain.history.by_signature(bytes(parameters.signature(options.get(name))))
        for name in ("before", "until")
    )
    if options.get("before") is not None and before is None:
        return []
    told: list[dict[str, Any]] = []
    for entry in call.chain.history.of_address(address):
        if until is not None and entry.number <= until.number:
            break
        if entry.slot > slot or (before is not None and entry.number >= before.number):
            continue
        told.append(
            {
                "signature": str(Signature(entry.signature)),
                "slot": entry.slot,
                "err": entry.error,
                "memo": entry.memo,
                "blockTime": entry.time,
                "confirmationStatus": _commitment(call, entry.slot),
            }
        )
        if len(told) == limit:
            break
    return told


def get_transaction(call: Call) -> Any:
    """A transaction with what it did; null if it is not there at the commitment."""
    signature, options = parameters.signature(call.params.at(0)), call.params.options(1)
    encoding = options.choice("encoding", TRANSACTION_ENCODINGS) or "json"
    most_version = options.integer("maxSupportedTransactionVersion")
    slot = options.rooted()
    entry = call.chain.history.by_signature(bytes(signature))
    if entry is None or entry.slot > slot:
        return None
    record = call.chain.landed(entry)
    return {"slot": record.slot, "blockTime": record.time, **transaction_json(record, encoding, most_version)}


def get_block(call: Call) -> Any:
    """A block with its transactions."""
    slot, options = call.params.integer(0), call.params.options(1)
    encoding = options.choice("encoding", TRANSACTION_ENCODINGS) or "json"
    details = options.choice("transactionDetails", ("full", "signatures", "none")) or "full"
    most_version = options.integer("maxSupportedTransactionVersion")
    first = call.chain.history.first_slot
    if slot < first:
        raise RpcFaultError(-32001, f"Block {slot} cleaned up, does not exist on node. First available block: {first}")
    if slot > options.rooted():
        raise RpcFaultError(-32004, f"Block not available for slot {slot}")
    if not has_block(slot):
        raise RpcFaultError(-32007, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot")
    parent = 0 if slot <= FIRST_SLOT else slot - 1
    slots = call.chain.slots
    told: dict[str, Any] = {
        "blockhash": str(slots.blockhash(slot)),
        "previousBlockhash": str(slots.blockhash(parent)),
        "parentSlot": parent,
        "blockTime": slots.time_of(slot),
        "blockHeight": height(slot),
        "rewards": [],
    }
    entries = call.chain.history.of_slot(slot)
    if details == "full":
        told["transactions"] = [transaction_json(call.chain.landed(one), encoding, most_version) for one in entries]
    elif details == "signatures":
        told["signatures"] = [str(Signature(one.signature)) for one in entries]
    return told


async def request_airdrop(call: Call) -> Any:
    """Lamports from the faucet."""
    to, lamports = key_of(call.params.at(0)), call.params.integer(1)
    if not 0 < lamports <= _MOST_AIRDROP:
        raise invalid(f"Invalid request: at most {_MOST_AIRDROP} lamports at a time")
    transaction = call.chain.airdrop(to, lamports)
    error = call.chain.take(transaction)
    if error is not None:
        raise RpcFaultError(-32603, f"Internal error: the faucet has nothing left ({describe(error)})")
    await call.chain.durable()
    return str(transaction.signatures[0])


METHODS: Final[dict[str, Method]] = {
    "getBlock": get_block,
    "getSignatureStatuses": get_signature_statuses,
    "getSignaturesForAddress": get_signatures_for_address,
    "getTransaction": get_transaction,
    "requestAirdrop": request_airdrop,
    "sendTransaction": send_transaction,
    "simulateTransaction": simulate_transaction,
}
"""By name."""
