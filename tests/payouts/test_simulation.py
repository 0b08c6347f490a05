"""Who or what stands in the way of a batch: the search, on a chain that is a table of balances and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from guerdon.kit.ids import uuid7
from guerdon.payouts.allowances import what_stops_all
from guerdon.payouts.payments import Payment
from guerdon.payouts.rail import EnvironmentProblem, Refusal
from guerdon.payouts.simulation import Culprits, Finding, Inseparable, explain

TREASURY = "0x" + "ee" * 20
WALLETS = [f"0x{number:040x}" for number in range(1, 201)]


@dataclass
class Ledger:
    """A chain as far as the search sees it."""

    bad: frozenset[str] = frozenset()
    names_index: bool = True
    held: int = 10**9
    allowed: int = 10**9
    paused: bool = False
    largest: int = 10**6
    asked: int = field(default=0)

    @property
    def treasury_address(self) -> str:
        return TREASURY

    async def simulate(self, batch: bytes, supersedes: Sequence[str], payments: Sequence[Payment]) -> Refusal | None:
        self.asked += 1
        if self.paused:
            return Refusal("paused", 0 if self.names_index else None)
        if len(payments) > self.largest:
            return Refusal("out of gas")
        for index, payment in enumerate(payments):
            if payment.recipient in self.bad:
                return Refusal("refused", index if self.names_index else None)
        return None

    async def environment_problem(self, payments: Sequence[Payment]) -> EnvironmentProblem | None:
        return await what_stops_all(self, payments)

    async def allowance(self) -> int:
        return self.allowed

    async def balance(self) -> int:
        return self.held


async def _explained(chain: Ledger, wallets: Sequence[str] = WALLETS[:20]) -> Finding:
    payments = [Payment(wallet, 5) for wallet in wallets]
    refusal = await chain.simulate(b"", (), payments)
    return await explain(chain, uuid7(), (), payments, refusal or Refusal("seen a moment ago"))


@given(st.sets(st.sampled_from(WALLETS), max_size=12), st.booleans())
@settings(max_examples=60, deadline=None)
async def test_s22_exactly_the_bad_recipients_are_found_whether_or_not_the_contract_names_them(
    bad: set[str], named: bool
) -> None:
    chain = Ledger(frozenset(bad), names_index=named)
    finding = await _explained(chain, WALLETS)
    if bad:
        assert isinstance(finding, Culprits)
        assert set(finding.reasons) == bad
    else:
        assert isinstance(finding, Inseparable)
    assert chain.asked <= 4 + 30 * max(1, len(bad)) + (0 if bad else 2 * len(WALLETS))


async def test_s22_nobody_is_blamed_while_the_token_is_paused() -> None:
    finding = await _explained(Ledger(paused=True, bad=frozenset(WALLETS[:3])))
    assert isinstance(finding, EnvironmentProblem)
    assert not finding.allowance_missing


async def test_s22_nobody_is_blamed_while_the_treasury_is_short_or_not_approved() -> None:
    short, forbidden = await _explained(Ledger(held=99)), await _explained(Ledger(allowed=99))
    assert isinstance(short, EnvironmentProblem)
    assert short.reason.startswith("balance short")
    assert isinstance(forbidden, EnvironmentProblem)
    assert forbidden.allowance_missing


async def test_a_list_that_only_fails_as_a_whole_is_to_be_split() -> None:
    assert isinstance(await _explained(Ledger(largest=15)), Inseparable)
