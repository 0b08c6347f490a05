"""The decision: rules, caps, and what they earn."""
