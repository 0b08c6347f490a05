"""Event intake (the hot path), look-ups, reversals. The way of a report is told in `docs/architecture.md`."""
