"""The engine for Solana: what it signs can land only once, because each transaction makes a marker account (SAFETY S18)."""
