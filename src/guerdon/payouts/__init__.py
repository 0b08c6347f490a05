"""Payouts: what is approved becomes tokens in wallets, in batches, exactly once."""
