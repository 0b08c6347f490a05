"""Accounts, the identities that lead to them, and their wallets."""
