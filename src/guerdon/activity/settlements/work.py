"""The kinds of work that settlements are moved by; what each does is in `jobs.py`."""

from __future__ import annotations

from typing import Final

from guerdon.accounts.addresses import CREDIT_WORK

PROVE: Final = "settlements.prove"
"""Of a program: ask the chain about what was reported, and credit what it proves."""
WATCH: Final = "settlements.watch"
"""Of a program: what is included becomes final, or is reorganised."""
READ: Final = "settlements.read"
"""Of a program: read the databases and chains of its sources."""
CREDIT: Final = CREDIT_WORK
"""Of a program: credit payments that were made before an address was proven."""
SWEEP: Final = "settlements.sweep"
"""Of the platform: wake what everybody forgot, forget what is long over."""
