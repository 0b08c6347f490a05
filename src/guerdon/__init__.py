"""Guerdon rewards people with tokens."""

__version__ = "0.1.0"
