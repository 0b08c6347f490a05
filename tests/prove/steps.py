"""The named steps at which a process is stopped: what of the outside tells that it is there. No part of the product knows of them.

A step is a statement to PostgreSQL or a question to the chain's node, by the process that makes it. `test_steps.py` proves that a
run without faults passes by every one.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.prove.pg_proxy import Mark, Moment

WEB = "web"
WORKER = "worker"
ALL_MOMENTS = tuple(Moment)
COMMITS = (Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT)


@dataclass(frozen=True, slots=True)
class Step:
    """A place in the flow, and the moments around it at which a kill makes a difference."""

    name: str
    role: str
    moments: tuple[Moment, ...]
    mark: Mark | None = None
    """The statement; or:"""
    method: str = ""
    """The JSON-RPC method. Its moments are before the node hears of it, and after it has done it."""
    often: int = 2
    """How many more times it comes in a run, for certain."""


def _statement(
    name: str, role: str, words: str, *, value: str = "", moments: tuple[Moment, ...] = ALL_MOMENTS, often: int = 2
) -> Step:
    return Step(name, role, moments, mark=Mark(words, value), often=often)


def _question(name: str, method: str) -> Step:
    return Step(name, WORKER, (Moment.BEFORE, Moment.AFTER), method=method)


STEPS = (
    # What the web process does with a request.
    _statement("loading", WEB, "with asked as materialized", moments=(Moment.BEFORE, Moment.AFTER)),
    _statement("booking", WEB, "with given as materialized"),
    _statement("reversing", WEB, "insert into reversals", often=0),
    _statement("asking-for-funds", WEB, "insert into fundings", moments=COMMITS, often=0),
    # What a worker does with what is booked.
    _statement("claiming", WORKER, "update work set due_at = null, claim"),
    _statement("reserving", WORKER, "insert into batch_members"),
    _question("simulating", "eth_call"),
    _statement("freezing", WORKER, "update batches set state=$1::varchar, chain_batch_id"),
    _statement("leasing", WORKER, "update keys set lease_owner=$1::varchar, lease_epoch", moments=COMMITS),
    _question("estimating", "eth_estimateGas"),
    _statement("binding", WORKER, "insert into nonces"),
    _question("surveying", "eth_feeHistory"),
    _statement("signing", WORKER, "insert into attempts"),
    _question("sending", "eth_sendRawTransaction"),
    _statement("noting-the-answer", WORKER, "update attempts set sent_at"),
    _question("looking", "eth_getTransactionReceipt"),
    _statement("including", WORKER, "update intents set state=$1::varchar, transaction_hash=$2::varchar, block_number"),
    _statement("finishing", WORKER, "update intents set state=$1::varchar, updated_at", value="final"),
    _statement("confirming", WORKER, "update deliveries d set state = $1, batch_id"),
    _statement("settling", WORKER, "update deliveries d set state = 'final'"),
    _statement("posting", WORKER, "with posted as ("),
    _statement("closing", WORKER, "update batches set state=$1::varchar, delivery_state"),
    _statement("funding", WORKER, "update fundings set state", often=0),
    _statement("work-done", WORKER, "update work set due_at = least(due_at", moments=(Moment.BEFORE, Moment.AFTER)),
)
BY_NAME = {step.name: step for step in STEPS}
