"""How a child process tells that it serves. Imports nothing of ours, so that a child that needs little starts at once."""

from __future__ import annotations

import contextlib
import os
from typing import Final

READY_FD: Final = "GUERDON_READY_FD"
"""Names the pipe that a child of ours writes to once it serves."""


def announce_ready() -> None:
    """Tell whoever started this process that it serves now; nothing if nobody asked."""
    descriptor = os.environ.pop(READY_FD, "")
    if descriptor.isdecimal():
        with contextlib.suppress(OSError):
            os.write(int(descriptor), b"ready\n")
            os.close(int(descriptor))
