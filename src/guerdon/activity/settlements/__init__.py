"""Settlements: reports of payments are hints; what is credited is what the chain proves."""
