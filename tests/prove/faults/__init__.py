"""Every fault there is, by name. What one looks like is told in `base.py`."""

from __future__ import annotations

from tests.prove.faults import blocks, clocks, database, disk, keys, kills, leases, node, restored, tokens
from tests.prove.faults.base import Fault

MODULES = (kills, node, database, leases, blocks, keys, tokens, restored, clocks, disk)
FAULTS: dict[str, Fault] = {fault.name: fault for module in MODULES for fault in module.FAULTS}
