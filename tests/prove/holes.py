"""Holes put into a copy of the product on purpose: a campaign that does not find them would prove nothing.

Each is the kind of mistake that a rule of the product keeps away. The processes of a site are then run from the copy, and everything
else (the driver, the judge) is as ever. That each edit still fits the sources is tested in `test_holes.py`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src" / "guerdon"


@dataclass(frozen=True, slots=True)
class Edit:
    """In a file below the sources, one text, which is there once, in place of another."""

    file: str
    old: str
    new: str

    def apply(self, sources: Path) -> None:
        """Raises `ValueError` where the text is not there, or more than once."""
        path = sources / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times, not once:\n{self.old}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Hole:
    """A mistake, and where a campaign looks for it."""

    name: str
    about: str
    edits: tuple[Edit, ...]
    kinds: tuple[str, ...]
    """The kinds of fault that it concerns."""


HOLES = {
    hole.name: hole
    for hole in (
        Hole(
            "sent-before-stored",
            "Signed bytes are handed to the node before they are committed: killed in between, nobody knows what was sent.",
            (
                Edit(
                    "txmanager/signing.py",
                    "    signed = await asyncio.to_thread(work.signer.sign_all, key, transactions)\n",
                    "    signed = await asyncio.to_thread(work.signer.sign_all, key, transactions)\n"
                    "    await work.chain.send([form.raw for form in signed])\n",
                ),
            ),
            ("kill/signing", "lease"),
        ),
        Hole(
            "lost-answer-is-a-failure",
            "No answer to sending is taken for failure: the transaction is bound and signed anew, at another nonce.",
            (
                Edit(
                    "txmanager/sending.py",
                    "    answers = await work.chain.send([one.newest.raw for one in batch])\n",
                    "    try:\n"
                    "        answers = await work.chain.send([one.newest.raw for one in batch])\n"
                    "    except Exception:\n"
                    "        async with work.write() as (session, _):\n"
                    "            for one in batch:\n"
                    '                await repository.mark_queued_again(session, one.intent.id, "the node did not answer")\n'
                    "        return []\n",
                ),
            ),
            ("node",),
        ),
        Hole(
            "refund-on-error",
            "What a node refuses is taken for dead: its payouts are given to a new batch at once, which does not name the old one.",
            (
                Edit(
                    "txmanager/sending.py",
                    "        moved = set(await repository.mark_sent(session, taken))\n",
                    "        moved = set(await repository.mark_sent(session, taken))\n"
                    "        for one, meaning in zip(batch, hints, strict=True):\n"
                    '            if meaning not in _TAKEN and one.intent.kind == "pay":\n'
                    '                await repository.mark_queued_again(session, one.intent.id, "refused")\n'
                    '                await repository.mark_void(session, one.intent.id, "refused", (IntentState.QUEUED,))\n'
                    "                moved.add(one.intent.id)\n",
                ),
                Edit(
                    "payouts/splitting.py",
                    "    if not ancestors:\n        return []\n    statuses",
                    "    return []\n    statuses",
                ),
            ),
            ("node",),
        ),
    )
}


@contextmanager
def opened(hole: Hole) -> Generator[Path]:
    """A copy of the product with the hole in it, as a folder to import `guerdon` from."""
    with tempfile.TemporaryDirectory(prefix="guerdon-hole-") as folder:
        sources = Path(folder) / "guerdon"
        shutil.copytree(SOURCES, sources)
        for edit in hole.edits:
            edit.apply(sources)
        yield Path(folder)
