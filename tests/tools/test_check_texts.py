"""The check that the paths which a page names exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_texts import ROOT, missing_paths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src/guerdon/ledger").mkdir(parents=True)
    (tmp_path / "src/guerdon/app.py").touch()
    (tmp_path / "src/guerdon/ledger/repository_verify.py").touch()
    (tmp_path / "docs/decisions").mkdir(parents=True)
    (tmp_path / "docs/decisions/0001-why.md").touch()
    return tmp_path


@pytest.mark.parametrize(
    "named",
    ["app.py", "ledger/", "ledger/repository_verify.py", "repository*.py", "docs/decisions/0001-why.md", "src/guerdon/app.py"],
)
def test_what_is_there_is_found(root: Path, named: str) -> None:
    assert list(missing_paths(f"The step is `{named}`.", root)) == []


@pytest.mark.parametrize(
    "named", ["service.py", "earning/", "ledger/app.py", "ledger/service*.py", "docs/decisions/0002-other.md"]
)
def test_what_is_gone_is_named(root: Path, named: str) -> None:
    assert list(missing_paths(f"`app.py`, `{named}` and `{named}` again", root)) == [named]


@pytest.mark.parametrize(
    "text", ["`POST /loyalteez-api/manual-event`", "`guerdon up`", "`deliveries.state`", "`/ready`", "gone.py"]
)
def test_what_is_no_path_is_passed_over(root: Path, text: str) -> None:
    assert list(missing_paths(text, root)) == []


def test_the_page_about_the_architecture_names_many_files() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    nowhere = list(missing_paths(text, Path("/nonexistent")))
    assert "earning/decision.py" in nowhere
    assert len(nowhere) > 30
    assert list(missing_paths(text, ROOT)) == []
