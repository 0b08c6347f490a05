"""What an operator sees: every state that moves, its gauges, and the view of `guerdon status`."""
