"""The purchases that the demo replays, read from the log in `data/`. No I/O but that file's, no floats (DESIGN section 4)."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice

_COLUMNS = ["customer_id", "date", "quantity", "amount_usd"]
_AMOUNT = re.compile(r"([0-9]{1,9})\.([0-9]{2})")
CENTS_PER_TOKEN = 100
TOTAL = 69_659
"""Rows in the log."""


class BrokenLogError(Exception):
    """The log in the package is not the one that was published."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """One row of the log."""

    row: int
    """From 1, in the order of the file: what makes a repeat of the same purchase harmless. Rows themselves do repeat."""
    customer: str
    date: str
    quantity: int
    amount_cents: int

    @property
    def email(self) -> str:
        """An address of the customer under a name that can never exist (RFC 2606)."""
        return f"customer-{self.customer}@cdnow.example"

    @property
    def tokens(self) -> int:
        """One for each whole dollar of this purchase."""
        return self.amount_cents // CENTS_PER_TOKEN


def read_purchases(limit: int | None = None) -> Iterator[Purchase]:
    """The first `limit` purchases in order of time, or all of them."""
    with (
        files("guerdon.demo").joinpath("data/cdnow-master.csv.gz").open("rb") as packed,
        gzip.open(packed) as raw,
        io.TextIOWrapper(raw, encoding="ascii", newline="") as text,
    ):
        rows = csv.reader(text)
        if next(rows, None) != _COLUMNS:
            message = f"the log does not begin with the columns {', '.join(_COLUMNS)}"
            raise BrokenLogError(message)
        for number, (customer, date, quantity, amount) in enumerate(islice(rows, limit), start=1):
            yield Purchase(number, customer, date, int(quantity), parse_cents(amount))


def parse_cents(amount_usd: str) -> int:
    """Cents of an amount in dollars with two decimals."""
    match = _AMOUNT.fullmatch(amount_usd)
    if match is None:
        message = f"not an amount in dollars and cents: {amount_usd!r}"
        raise BrokenLogError(message)
    return int(match[1]) * 100 + int(match[2])
