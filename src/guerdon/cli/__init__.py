"""The command line: one module a group of commands, put together here. `guerdon --help` must be quick: heavy imports
are inside the commands.
"""

from __future__ import annotations

from guerdon.cli.main import main

__all__ = ["main"]
