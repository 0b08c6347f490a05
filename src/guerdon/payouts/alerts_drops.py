"""The kinds of alert that drops raise; what each says and how it ends is where it is raised."""

from typing import Final

CANNOT_PUBLISH: Final = "drop.cannot_publish"
"""Of a drop: its root can't be published now. Ends when it is, or when it is given up."""
CANNOT_CLOSE: Final = "drop.cannot_close"
"""Of a season: its window is over and it is not closed. Ends when it is."""
CLAIMS_DIFFER: Final = "drop.claims_differ"
"""Of a season: what the chain says was paid is not what its logs say, or not what was published. Ends when they agree."""
