"""Claims: points that become tokens at a rate, on a member's request."""
