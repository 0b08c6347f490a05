"""Settings: where they come from, and what is refused."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import ValidationError

from guerdon.settings import Environment, LogFormat, Settings, ensure_data_dir, load_settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("GUERDON_") or name in {"DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"}:
            monkeypatch.delenv(name)


def test_without_any_everything_runs_on_this_machine() -> None:
    settings = load_settings()
    assert settings.uses_embedded_database
    assert settings.environment is Environment.DEVELOPMENT
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.data_dir.is_absolute()
    assert settings.effective_log_format is LogFormat.CONSOLE


def test_variables_set_them_and_a_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_URL": "postgresql://guerdon_app@db/guerdon",
        "REDIS_URL": "redis://cache:6379/0",
        "GUERDON_PORT": "9000",
        "GUERDON_ENVIRONMENT": "production",
        "GUERDON_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::1",
        "GUERDON_DEPLOYMENT_ID": "01890a5d-ac96-774b-bcce-b302099a8057",
        "GUERDON_RPC_SONEIUM_MINATO": "https://user:hunter2@rpc.example",
        "GUERDON_RPC_LOCAL": "http://127.0.0.1:8545",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(port=9001, host=None)
    assert settings.port == 9001
    assert settings.host == "127.0.0.1"
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://guerdon_app@db/guerdon"
    assert not settings.uses_embedded_database
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("2001:db8::1/128"))
    assert settings.deployment_id == UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    assert settings.rpc_url("soneium-minato") == "https://user:hunter2@rpc.example"
    assert settings.rpc_url("local") == "http://127.0.0.1:8545"
    assert settings.rpc_url("base") is None
    assert settings.effective_log_format is LogFormat.JSON


def test_a_file_of_variables_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GUERDON_PORT=9002\n")
    assert load_settings().port == 9002


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hunter2@db/guerdon")
    monkeypatch.setenv("GUERDON_RPC_BASE", "https://base.example/hunter2")
    monkeypatch.setenv("GUERDON_SECRET_KEY", "hunter2")
    assert "hunter2" not in repr(load_settings())


def test_settings_do_not_change() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://hunter2@db/guerdon"),
        ("GUERDON_PORT", "70000"),
        ("GUERDON_ENVIRONMENT", "staging"),
        ("GUERDON_TRUSTED_PROXIES", "10.0.0.0/8,proxy"),
        ("GUERDON_DEPLOYMENT_ID", "one"),
        ("GUERDON_LOG_LEVEL", "loud"),
    ],
)
def test_what_is_wrong_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_two_secret_keys_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="not both"):
        load_settings(secret_key="x", secret_key_file=tmp_path / "key")


def test_the_data_directory_is_made_and_not_open_to_readers(tmp_path: Path) -> None:
    made = ensure_data_dir(load_settings(data_dir=tmp_path / "a" / "b"))
    assert made.is_dir()
    assert made.stat().st_mode & 0o066 == 0


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
