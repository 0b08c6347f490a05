"""A data directory knows its own database (SAFETY S21)."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from guerdon.kit.database import Database
from guerdon.local.datadir import DataDir
from guerdon.local.deployment import deployment_id_of
from guerdon.local.stack import Stack
from guerdon.local.supervisor import StartError
from guerdon.settings import Settings, load_settings
from tests.support.postgres import Urls


def settings_in(folder: Path, urls: Urls) -> Settings:
    return load_settings(data_dir=folder).model_copy(update={"database_url": SecretStr(urls.app)})


def stack_in(folder: Path, urls: Urls) -> Stack:
    return Stack(settings_in(folder, urls), lambda _name, _sentence: None)


async def test_s21_the_first_start_names_the_installation_and_later_ones_keep_to_it(
    tmp_path: Path, database: Database, database_urls: Urls
) -> None:
    first = stack_in(tmp_path, database_urls)
    await first.start_database()
    known = DataDir(tmp_path).deployment_id()
    assert known is not None
    assert first.settings.deployment_id == known == await deployment_id_of(database_urls.app, uuid4())
    second = stack_in(tmp_path, database_urls)
    await second.start_database()
    assert second.settings.deployment_id == known
    # Commands beside it take it from the folder as well.
    assert DataDir(tmp_path).completed(load_settings(data_dir=tmp_path)).deployment_id == known


async def test_s21_nothing_is_started_on_the_database_of_another_installation(
    tmp_path: Path, database: Database, database_urls: Urls
) -> None:
    theirs = await deployment_id_of(database_urls.app, uuid4())
    DataDir(tmp_path).keep_deployment_id(uuid4())
    with pytest.raises(StartError, match="nothing is started") as refused:
        await stack_in(tmp_path, database_urls).start_database()
    assert f"GUERDON_DEPLOYMENT_ID={theirs}" in refused.value.remedy


def test_s21_a_spoilt_id_is_not_taken_for_a_first_start(tmp_path: Path) -> None:
    (tmp_path / "deployment").write_text("nonsense", encoding="utf-8")
    with pytest.raises(StartError, match="no id"):
        DataDir(tmp_path).deployment_id()
