"""The demo on a part of the log: what is in wallets on chains is what purchases and payments were worth; run again it books and pays
nothing twice.
"""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.services import free_port
from tests.system.house import GUERDON, ROOT, House, until

pytestmark = pytest.mark.slow


def worth(limit: int) -> tuple[int, int]:
    """Whole dollars and customers of the first purchases, by another way than the product's."""
    with gzip.open(ROOT / "src/guerdon/demo/data/cdnow-master.csv.gz", "rt") as log:
        rows = list(csv.DictReader(log))[:limit]
    return sum(int(Decimal(row["amount_usd"])) for row in rows), len({row["customer_id"] for row in rows})


def spent_by_the_faithful() -> int:
    """Cents of the first five purchases, of those that cost anything, of the six customers who bought most often."""
    with gzip.open(ROOT / "src/guerdon/demo/data/cdnow-master.csv.gz", "rt") as log:
        rows = list(csv.DictReader(log))
    faithful = [customer for customer, _ in Counter(row["customer_id"] for row in rows).most_common(6)]
    amounts = {customer: [Decimal(row["amount_usd"]) for row in rows if row["customer_id"] == customer] for customer in faithful}
    return int(100 * sum(sum([amount for amount in bought if amount][:5]) for bought in amounts.values()))


def demo(house: House, limit: int, *, kill_web: bool) -> dict[str, Any]:
    """Run it to its end; its report."""
    report = house.data_dir.parent / f"{limit}.json"
    with house.output.open("wb") as output:
        process = subprocess.Popen(
            [*GUERDON, "demo", "--exit", "--limit", str(limit), "--report", str(report),
             "--data-dir", str(house.data_dir), "--port", str(house.port)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=house.environment(), cwd="/",
        )  # fmt: skip
    try:
        if kill_web:
            until(lambda: "ready  web" in house.said(), 120, house.said)
            house.kill_process("web")
        assert process.wait(timeout=240) == 0, house.said()
    finally:
        process.kill()
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def test_the_demo_pays_what_the_purchases_are_worth_and_nothing_twice(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    house = House(tmp_path / "demo")
    house.port = free_port()
    told: list[dict[str, Any]] = []
    try:
        # The second run goes on where the first ended, and its web process dies before the first purchase is taken.
        for limit, kill_web in ((200, False), (300, True)):
            tokens, customers = worth(limit)
            report = demo(house, limit, kill_web=kill_web)
            assert set(report) == {
                "purchases", "customers", "tokens_booked", "tokens_on_chain", "transactions", "consistent", "seconds", "payments",
            }  # fmt: skip
            assert report["consistent"] is True
            assert (report["purchases"], report["customers"]) == (limit, customers)
            assert report["tokens_booked"] == report["tokens_on_chain"] == tokens
            assert report["transactions"] >= 1
            assert set(report["seconds"]) == {"intake", "delivery", "payments"}
            told.append(report["payments"])
        # Payments are made, earned and claimed once: the second run finds all of it done.
        assert told[0] == told[1]
        paid, cents = told[0], spent_by_the_faithful()
        assert (paid["members"], paid["settled"], paid["claims"], paid["volume_cents"]) == (6, 30, 6, cents)
        # Two points a cent in the campaign, and up to a quarter more by tier; a hundred of them a token.
        assert 2 * cents < paid["points_booked"] < 2 * cents * 5 // 4
        assert 0 <= paid["points_booked"] - paid["points_claimed"] < 6 * 100
        assert 0 <= paid["points_claimed"] - 100 * (paid["tokens_on_solana"] + paid["tokens_on_evm"]) < 100
        assert min(paid["tokens_on_solana"], paid["tokens_on_evm"]) > 0
        assert paid["tiers"] == {"bronze": 1, "silver": 4, "gold": 1}
    finally:
        house.close()
