"""The holes still fit the sources that they are put into, and one of them is found."""

from __future__ import annotations

import compileall
from itertools import cycle
from pathlib import Path

import pytest

from tests.prove.faults import FAULTS
from tests.prove.holes import HOLES, Edit, Hole, opened
from tests.prove.run import Verdict, run
from tests.prove.site import Site


@pytest.mark.parametrize("hole", HOLES.values(), ids=HOLES)
def test_a_hole_fits_the_sources(hole: Hole) -> None:
    with opened(hole) as folder:
        for edit in hole.edits:
            assert compileall.compile_file(folder / "guerdon" / edit.file, quiet=2, force=True)


def test_an_edit_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("a = 1\na = 1\n")
    for old in ("a = 1\n", "b"):
        with pytest.raises(ValueError, match="not once"):
            Edit("one.py", old, "c").apply(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_refund_on_error_is_found() -> None:
    """Which run finds it is chance: the operating system mixes the processes."""
    faults = cycle([FAULTS["node/loses-answers-to-sending"], FAULTS["node/refuses-what-it-did-to-sending"]])
    with opened(HOLES["refund-on-error"]) as source:
        async with Site.open(source=source) as site:
            for seed, fault in zip(range(1, 11), faults, strict=False):
                result = await run(site, seed, fault)
                if result.verdict is Verdict.BROKEN:
                    break
    assert any(complaint.startswith(("chain:", "doubled:")) for complaint in result.complaints)
