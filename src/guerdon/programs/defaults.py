"""What a new program begins with, besides its rules. Points a day that browsers may earn, since anyone can send what they send.

An operator changes them with `guerdon program update`.
"""

from __future__ import annotations

from typing import Final

DEFAULT_ASSET: Final = "LTZ"
"""What the rules pay in."""
BROWSER_CAP_PROGRAM: Final = 100_000
BROWSER_CAP_ACCOUNT: Final = 500
BROWSER_CAP_ADDRESS: Final = 2_000
"""Several people may share an address; a thousand do not."""
