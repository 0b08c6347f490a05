"""The books: assets, balances, postings that never change, and the deliveries that payouts move on."""
