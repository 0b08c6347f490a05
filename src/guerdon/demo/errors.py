"""The error of the demo."""


class DemoError(Exception):
    """Something was refused, or nobody answered for too long; the message says what."""
