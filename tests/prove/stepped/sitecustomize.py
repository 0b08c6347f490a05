"""A machine whose clock is stepped, for one Python process: it is started with this folder in PYTHONPATH.

CLOCK_STEPS has pairs of seconds, `0:3600,5.5:-7200`: so long after its start, the process's clock is so far ahead of the true one.
Only wall-clock time is concerned; what waits for a while goes by another clock, as on a machine that is stepped.
"""

from __future__ import annotations

import datetime as dt
import os
import time

_STARTED_AT = time.monotonic()
_STEPS = [tuple(map(float, step.split(":"))) for step in os.environ["CLOCK_STEPS"].split(",")]
_true_time = time.time
_true_time_ns = time.time_ns
_true_datetime = dt.datetime


def _ahead() -> float:
    age = time.monotonic() - _STARTED_AT
    return next((ahead for after, ahead in reversed(_STEPS) if after <= age), 0.0)


def _time() -> float:
    return _true_time() + _ahead()


def _time_ns() -> int:
    return _true_time_ns() + int(_ahead()) * 1_000_000_000


class _AnyDatetime(type):
    """What was made before, or by C, counts as well."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _true_datetime)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, _true_datetime)


class _Datetime(_true_datetime, metaclass=_AnyDatetime):
    __slots__ = ()

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
        return _true_datetime.fromtimestamp(_time(), tz)


time.time, time.time_ns, dt.datetime = _time, _time_ns, _Datetime
