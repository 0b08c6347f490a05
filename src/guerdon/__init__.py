"""Guerdon rewards people with tokens."""
