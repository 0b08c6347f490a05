"""What every table has in common: the declarative base, the column types and the scope a table lives in.

The tables themselves are in the `models.py` of their domain; row-level security for them is in `kit/rls.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    BindParameter,
    DateTime,
    MetaData,
    Numeric,
    Text,
    TypeDecorator,
    Uuid,
    bindparam,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeEngine


class Scope(StrEnum):
    """Who may read and write the rows of a table; the database enforces it (DESIGN section 4, SAFETY S1 and S3)."""

    TENANT = "tenant"
    """Only the program that the transaction acts for; `program_id` is first in every key."""
    REFERENCE = "reference"
    """Everybody reads; the program itself, or the platform, writes."""
    PLATFORM = "platform"
    """Everybody reads; only a transaction in platform scope writes."""
    OWNED = "owned"
    """The program that a row names reads it; only a transaction in platform scope writes, and reads rows of no program."""
    JOINT = "joint"
    """The program that a row names, and the platform, read and write it; a row of no program is the platform's alone."""
    SECRET = "secret"  # noqa: S105 - the name of a scope
    """Only a transaction in platform scope reads or writes."""
    SHARED = "shared"
    """Any transaction reads and writes: queues and look-ups that belong to no tenant."""


def scope(value: Scope) -> dict[str, Any]:
    """The `info` of a table, as the last entry of `__table_args__` wants it."""
    return {"info": {"scope": value.value}}


def constants(*values: str) -> BindParameter[Any]:
    """Values for `in_` that stand in the statement itself, and not in its parameters.

    A plan that PostgreSQL makes once for all parameters can use a partial index (those of what is unfinished) only so.
    """
    return bindparam(None, [str(value) for value in values], expanding=True, literal_execute=True)


class Integral(TypeDecorator[int]):
    """An integer of up to 78 digits (a uint256), `int` in Python and `numeric(78,0)` in SQL."""

    impl = Numeric(78, 0)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 - SQLAlchemy's signature
        """What the driver is given."""
        return None if value is None else Decimal(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - the same
        """What a caller gets."""
        return None if value is None else int(value)

    def result_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        dialect: Dialect,  # noqa: ARG002 - the same
        coltype: object,  # noqa: ARG002 - the same
    ) -> Callable[[Any], int | None]:
        """What turns a driver's value into a caller's."""

        # Straight to int: a Decimal between would be rounded to the context's 28 digits by some operations.
        def to_int(value: Any) -> int | None:
            return None if value is None else int(value)

        return to_int


Points = Annotated[int, mapped_column(BigInteger)]
"""Points in the smallest unit: `bigint`."""
Atomic = Annotated[int, mapped_column(Integral)]
"""Tokens in atomic units: `numeric(78,0)`."""
Utc = Annotated[datetime, mapped_column(DateTime(timezone=True))]
"""A time in UTC."""
Id = Annotated[UUID, mapped_column(Uuid)]
"""A UUIDv7."""


class Base(DeclarativeBase):
    """The one metadata of the application."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
    type_annotation_map: dict[Any, TypeEngine[Any]] = {str: Text(), int: BigInteger(), datetime: DateTime(timezone=True)}  # noqa: RUF012
