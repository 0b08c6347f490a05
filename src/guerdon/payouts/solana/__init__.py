"""Payouts in SPL tokens: what a batch is on a Solana, and what stands in its way."""
