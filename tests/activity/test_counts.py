"""What became of reports is counted once each, wherever it was decided."""

from __future__ import annotations

import json
from collections import Counter

from guerdon.activity.counts import BOOKED, REPEATED, counted
from guerdon.kit.database import Database
from tests.activity.house import BULK, a_house, an_event


def since(before: dict[str, float]) -> Counter[str]:
    return Counter({name: round(value - before.get(name, 0)) for name, value in counted().items()}) - Counter()


async def test_every_report_counts_once_by_its_outcome(database: Database) -> None:
    async with a_house(database) as house:
        before = counted()
        event = an_event("once")
        assert (await house.send(event, Idempotency_Key="k")).status_code == 200
        assert (await house.send(event, Idempotency_Key="k")).status_code == 200
        assert (await house.send({**event, "eventType": "nobody_knows"})).status_code == 400
        assert since(before) == {BOOKED: 1, REPEATED: 1, "EVENT_TYPE_NOT_CONFIGURED": 1}


async def test_the_events_of_a_bulk_count_one_by_one(database: Database) -> None:
    async with a_house(database) as house:
        before = counted()
        body = {"events": [an_event("a"), an_event("b"), {"eventType": 7}]}
        assert (await house.signed(BULK, json.dumps(body).encode())).status_code == 200
        told = since(before)
        assert told.pop(BOOKED) == 2
        assert list(told.values()) == [1]
