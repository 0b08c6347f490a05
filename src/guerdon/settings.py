"""Typed settings: one immutable object, read once from the environment and passed around.

Every field can be set by its variable (`GUERDON_PORT`; the three addresses by their usual names) or in a file `.env`.
"""

from __future__ import annotations

import os
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_ROOTS_DATA = Path("/var/lib/guerdon/default")
_RPC_PREFIX = "GUERDON_RPC_"


class Environment(StrEnum):
    """What an installation is for."""

    DEVELOPMENT = "development"
    """Localhost counts as a program's domain; logs are for reading."""
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """How logs are written."""

    CONSOLE = "console"
    JSON = "json"


def default_data_dir() -> Path:
    """Where everything is kept without `--data-dir`: the user's data folder; for root the system's."""
    if os.geteuid() == 0:
        # Not under /root: PostgreSQL does not run as root, and its own user may not enter there.
        return _ROOTS_DATA
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share") / "guerdon"


class Settings(BaseSettings):
    """What an operator decides. Amounts of time are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_prefix="GUERDON_",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    # ---- where things are ----
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("database_url", "DATABASE_URL", "GUERDON_DATABASE_URL"),
        description="PostgreSQL 15 or newer, as the application's role. Without it one is started in the data directory.",
    )
    database_owner_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("database_owner_url", "DATABASE_OWNER_URL", "GUERDON_DATABASE_OWNER_URL"),
        description="The same database as the role that owns the tables; only `guerdon migrate` uses it.",
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("redis_url", "REDIS_URL", "GUERDON_REDIS_URL"),
        description="Shares rate limits between processes; may be lost at any time. Without it each process counts alone.",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="What an installation on one machine keeps: database, local chains, secrets.",
    )

    # ---- what it is ----
    environment: Environment = Field(Environment.DEVELOPMENT, description="`development` or `production`.")
    deployment_id: UUID | None = Field(
        None,
        description="Names this installation: nothing is sent to a chain unless the database has the same (`guerdon doctor`).",
    )

    # ---- web ----
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="The port to listen on.")
    public_url: str | None = Field(
        None,
        description="Where people reach this installation, such as https://rewards.example.com: what wallets show.",
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Networks of proxies whose `X-Forwarded-For` is believed, separated by commas."
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="The largest body of an ordinary request.")
    max_bulk_body_bytes: int = Field(16_000_000, ge=1_000, description="The largest body of a bulk report.")
    drain_seconds: float = Field(
        1,
        ge=0,
        description="How long after SIGTERM requests are still taken while /ready says no: what the proxy takes to notice.",
    )
    shutdown_seconds: float = Field(20, ge=0, description="How long requests and jobs may go on after SIGTERM.")

    # ---- database ----
    database_pool_size: int = Field(10, ge=1, le=200, description="Connections for ordinary work, a process.")
    database_hot_pool_size: int = Field(4, ge=1, le=100, description="Connections for event intake and the worker, a process.")

    # ---- work ----
    outbox_days: int = Field(
        7, ge=1, le=3_650, description="For how many days the outbox keeps what happened, and alerts that were closed."
    )
    worker_concurrency: int = Field(4, ge=1, le=64, description="Handlers that run at once in a worker.")
    max_in_flight: int = Field(
        16, ge=1, le=1_000, description="Transactions of one key that wait for a block at a time: what the node's pool keeps."
    )
    payout_batch_size: int = Field(
        200,
        ge=1,
        le=500,
        description="Payouts that a chain transaction takes: beyond 200 gas a recipient hardly falls, and a block has its limit.",
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Where a worker serves `/metrics`; the web serves it on its own port."
    )

    # ---- secrets ----
    secret_key: SecretStr | None = Field(
        None,
        description="32 bytes in base64 or hex that secrets are encrypted under. Without it, `secret.key` in the data directory.",
    )
    secret_key_file: Path | None = Field(None, description="A file with that key, readable by its owner only.")
    older_secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Keys used before, separated by commas: they decrypt until everything is wrapped anew."
    )

    # ---- chains ----
    rpc_urls: dict[str, SecretStr] = Field(
        default_factory=dict[str, SecretStr],
        validation_alias="rpc_urls",
        description="RPC addresses by network, one variable each: GUERDON_RPC_SONEIUM_MINATO for `soneium-minato`.",
    )
    block_seconds: float = Field(2, gt=0, description="The block time of the local EVM chain.")
    solana_slot_ms: int = Field(
        400, ge=10, le=60_000, description="How long a slot of the local Solana takes, in milliseconds; 32 of them are finality."
    )

    # ---- limits ----
    rate_limit_events_a_minute: int = Field(6_000, ge=1, description="Events a minute a program and client address, unsigned.")
    rate_limit_settlements_a_minute: int = Field(
        60_000, ge=1, description="Reported payments a minute and source; beyond that a facilitator has to send them again."
    )
    rate_limit_admin_a_minute: int = Field(600, ge=1, description="Calls of the admin API a minute and key.")

    rate_limit_sign_in_a_minute: int = Field(
        30, ge=1, description="Challenges and proofs of sign-in a minute and client address; about one wallet, four times that."
    )
    rate_limit_members_a_minute: int = Field(300, ge=1, description="Calls of the members' API a minute and user.")

    # ---- members ----
    session_hours: int = Field(168, ge=1, le=8_760, description="How long a member stays signed in.")

    # ---- logs ----
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat | None = Field(None, description="`console` or `json`; without it, by environment.")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(ip_network(part.strip(), strict=False) if isinstance(part, str) else part for part in parts if part)

    @field_validator("older_secret_keys", mode="before")
    @classmethod
    def _keys(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("data_dir", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("public_url", mode="after")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.netloc
            or parts.path.strip("/")
            or parts.query
            or "@" in parts.netloc
        ):
            message = "has to be scheme and host only, such as https://rewards.example.com"
            raise ValueError(message)
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @field_validator("database_url", "database_owner_url", mode="after")
    @classmethod
    def _postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme.partition("+")[0] not in {"postgres", "postgresql"}:
            message = "has to begin with postgresql://"
            raise ValueError(message)
        return value

    @model_validator(mode="before")
    @classmethod
    def _collect_rpc_urls(cls, values: Any) -> Any:
        # One variable a network, because each of these addresses is a secret of its own.
        collected = {
            _network_name(name.removeprefix(_RPC_PREFIX)): value
            for name, value in os.environ.items()
            if name.startswith(_RPC_PREFIX) and value
        }
        return {**values, "rpc_urls": {**collected, **values.get("rpc_urls", {})}}

    @model_validator(mode="after")
    def _one_secret_key(self) -> Self:
        if self.secret_key is not None and self.secret_key_file is not None:
            message = "set GUERDON_SECRET_KEY or GUERDON_SECRET_KEY_FILE, not both"
            raise ValueError(message)
        return self

    @property
    def own_origin(self) -> str:
        """Scheme and host under which people reach this installation."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def uses_embedded_database(self) -> bool:
        """Is the database started by us, in the data directory?"""
        return self.database_url is None

    @property
    def effective_log_format(self) -> LogFormat:
        """The configured one, else what fits the environment."""
        if self.log_format is not None:
            return self.log_format
        return LogFormat.JSON if self.environment is Environment.PRODUCTION else LogFormat.CONSOLE

    def rpc_url(self, network: str) -> str | None:
        """The configured RPC address of a network, by its name such as `soneium-minato`."""
        found = self.rpc_urls.get(_network_name(network))
        return None if found is None else found.get_secret_value()


def rpc_variable(network: str) -> str:
    """The variable that sets a network's RPC address: `GUERDON_RPC_SONEIUM_MINATO` for `soneium-minato`."""
    return f"{_RPC_PREFIX}{network.upper().replace('-', '_')}"


def _network_name(name: str) -> str:
    return name.lower().replace("_", "-")


def load_settings(**overrides: Any) -> Settings:
    """Settings of the environment, with what a command line gave on top; options left out (None) override nothing."""
    return Settings(**{name: value for name, value in overrides.items() if value is not None})


def ensure_data_dir(settings: Settings) -> Path:
    """Make the data directory: what is secret in it is in files of mode 0600, and root's lets PostgreSQL's user pass."""
    path = settings.data_dir
    if not path.exists():
        path.mkdir(parents=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    return path
