"""The house that tests of drops live in: that of payouts."""

from __future__ import annotations

from tests.payouts.conftest import house

__all__ = ["house"]
