"""EIP-1559 fees: what to offer now, and what a replacement has to offer. Pure; wei throughout."""

from __future__ import annotations

from dataclasses import dataclass

BASE_FEE_HEADROOM = 2
"""The base fee rises by at most 12.5 % a block: twice today's is enough for six blocks."""
_RAISE_DIVISOR = 8
"""12.5 %, what the strictest nodes ask of a replacement (DESIGN section 6, rule 3)."""


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction offers a unit of gas."""

    max_fee_per_gas: int
    max_priority_fee_per_gas: int


def suggested(base_fee: int, tip: int, cap: int | None) -> Fees | None:
    """Fees for a transaction that should be in one of the next blocks; None if even the next block costs more than `cap`."""
    needed = base_fee + tip
    if cap is not None and needed > cap:
        return None
    wanted = BASE_FEE_HEADROOM * base_fee + tip
    return Fees(wanted if cap is None else min(wanted, cap), tip)


def capped(base_fee: int, tip: int, cap: int | None) -> Fees:
    """Fees for a transaction that has its nonce and holds up those behind it: at the cap, if the network asks for more."""
    fees = suggested(base_fee, tip, cap)
    if fees is not None:
        return fees
    if cap is None:
        message = "without a cap there is always a suggestion"
        raise AssertionError(message)
    return Fees(cap, min(tip, cap))


def replacement(old: Fees, base_fee: int, tip: int, cap: int | None) -> Fees | None:
    """Both fees raised by at least 12.5 %, and to what is asked for now; None if that is over `cap`."""
    fresh = Fees(BASE_FEE_HEADROOM * base_fee + tip, tip)
    least = Fees(_raised(old.max_fee_per_gas), _raised(old.max_priority_fee_per_gas))
    if cap is not None and max(least.max_fee_per_gas, base_fee + tip) > cap:
        return None
    wanted = max(least.max_fee_per_gas, fresh.max_fee_per_gas)
    tip_wanted = max(least.max_priority_fee_per_gas, fresh.max_priority_fee_per_gas)
    max_fee = wanted if cap is None else min(wanted, cap)
    return Fees(max_fee, min(tip_wanted, max_fee))


def _raised(fee: int) -> int:
    return fee + max(1, -(-fee // _RAISE_DIVISOR))
