"""Rate limits: they only slow traffic. What limits money is counted in PostgreSQL in the booking transaction (SAFETY S8).

Shared between processes where there is a Redis; while it is away each process counts for itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any, Protocol, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from guerdon.kit.errors import RateLimitedError

_REDIS_REST_SECONDS = 5.0
_REDIS_TIMEOUT_SECONDS = 0.25
_MAX_KEYS = 50_000
_SHARED_KEYS = 1_024
_log = structlog.stdlib.get_logger("guerdon.ratelimit")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds."""

    limit: int
    seconds: int


@dataclass(frozen=True, slots=True)
class RateState:
    """What a caller is told: by `X-RateLimit-*` always, by `Retry-After` when it was refused."""

    allowed: bool
    limit: int
    remaining: int
    reset_at: int
    """Unix seconds: when there is room again, if it was refused; else when the window ends."""
    retry_after: int
    """Whole seconds until the same would be allowed; 0 if it was."""

    def headers(self) -> dict[str, str]:
        """The response headers of this state."""
        told = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_at),
        }
        return told if self.allowed else {**told, "Retry-After": str(self.retry_after)}

    def require(self) -> None:
        """Raise `RateLimitedError` if it was refused."""
        if not self.allowed:
            raise RateLimitedError(retry_after=self.retry_after)


# Counts this window and the one before, in one round trip and by Redis's own clock, so that processes need not agree on
# the time. The two keys are one slot of a Redis cluster by their {braces}.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window, limit, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local index = math.floor(now / window)
local here, before = KEYS[1] .. ':' .. index, KEYS[1] .. ':' .. (index - 1)
local current, previous = tonumber(redis.call('GET', here) or '0'), tonumber(redis.call('GET', before) or '0')
local left = window - now % window
if math.floor(previous * left / window) + current + cost <= limit then
    redis.call('INCRBY', here, cost)
    redis.call('PEXPIRE', here, 2 * window)
    return {1, current + cost, previous, now}
end
return {0, current, previous, now}
"""


class _Script(Protocol):
    def __call__(self, keys: list[str], args: list[int]) -> Awaitable[list[int]]: ...


@dataclass(slots=True)
class _Window:
    """Counters of one name and rate. Whole windows are forgotten at once, so nothing has to be swept."""

    index: int = 0
    current: dict[str, int] = field(default_factory=dict[str, int])
    previous: dict[str, int] = field(default_factory=dict[str, int])

    def turn(self, index: int) -> None:
        if index != self.index:
            self.previous = self.current if index == self.index + 1 else {}
            self.current = {}
            self.index = index

    def counted_as(self, key: str, max_keys: int) -> str:
        """The key itself; of more than `max_keys` in one window, the later ones share counters instead of filling the memory."""
        if len(self.current) < max_keys or key in self.current:
            return key
        return f"#{hash(key) % _SHARED_KEYS}"


class RateLimiter:
    """Counts by name and key in a window that slides: no burst of twice the limit where two windows meet.

    What came in the window before counts by the part of it that the sliding window still covers.
    """

    def __init__(self, redis_url: str | None = None, *, max_keys: int = _MAX_KEYS) -> None:
        """Nothing is opened before the first use. In memory, at most `max_keys` of a name and rate have counters of their own."""
        self._max_keys = max_keys
        self._windows: dict[tuple[str, Rate], _Window] = {}
        self._redis: Redis | None = None
        self._script: _Script | None = None
        self._redis_rests_until = 0.0
        if redis_url is not None:
            self._redis = cast("Any", Redis).from_url(
                redis_url, socket_timeout=_REDIS_TIMEOUT_SECONDS, socket_connect_timeout=_REDIS_TIMEOUT_SECONDS
            )
            self._script = cast("Any", self._redis).register_script(_SCRIPT)

    async def hit(self, name: str, key: str, rate: Rate, *, cost: int = 1) -> RateState:
        """Count `cost` against `rate` for this name and key, if there is room for all of it."""
        if self._script is not None and time.monotonic() >= self._redis_rests_until:
            try:
                allowed, current, previous, now_ms = await self._script(
                    [f"guerdon:rate:{{{name}:{rate.seconds}:{key}}}"], [rate.seconds * 1000, rate.limit, cost]
                )
            except (RedisError, OSError) as error:
                # Not asked again for a moment: a dead Redis must not add its time-out to every request.
                self._redis_rests_until = time.monotonic() + _REDIS_REST_SECONDS
                _log.warning("ratelimit.redis_unavailable", error=type(error).__name__)
            else:
                return _state(rate, cost, allowed=allowed == 1, current=current, previous=previous, now_ms=now_ms)
        return self.hit_here(name, key, rate, cost=cost)

    def hit_here(self, name: str, key: str, rate: Rate, *, cost: int = 1, now_ms: int | None = None) -> RateState:
        """The same, counted in this process only: half a microsecond, for the hot path."""
        if now_ms is None:
            now_ms = time.time_ns() // 1_000_000
        window_ms = rate.seconds * 1000
        window = self._windows.get((name, rate))
        if window is None:
            window = self._windows[name, rate] = _Window()
        window.turn(now_ms // window_ms)
        key = window.counted_as(key, self._max_keys)
        current = window.current.get(key, 0)
        previous = window.previous.get(key, 0)
        allowed = previous * (window_ms - now_ms % window_ms) // window_ms + current + cost <= rate.limit
        if allowed:
            current += cost
            window.current[key] = current
        return _state(rate, cost, allowed=allowed, current=current, previous=previous, now_ms=now_ms)

    async def close(self) -> None:
        """Let go of the connections."""
        if self._redis is not None:
            await self._redis.aclose()


def _state(rate: Rate, cost: int, *, allowed: bool, current: int, previous: int, now_ms: int) -> RateState:
    window_ms = rate.seconds * 1000
    left_ms = window_ms - now_ms % window_ms
    remaining = max(0, rate.limit - previous * left_ms // window_ms - current)
    ends_ms = now_ms + left_ms
    if allowed:
        return RateState(allowed=True, limit=rate.limit, remaining=remaining, reset_at=math.ceil(ends_ms / 1000), retry_after=0)
    # When enough of what was counted has slid out: still in this window, where only the one before weighs less and less,
    # or in the next, where this one does.
    if current + cost <= rate.limit:
        free_ms = ends_ms - (rate.limit - current - cost + 1) * window_ms // max(previous, 1)
    else:
        free_ms = ends_ms + window_ms - max(0, rate.limit - cost + 1) * window_ms // max(current, 1)
    free_ms = max(free_ms, now_ms + 1) + 1
    retry_after = max(1, math.ceil((free_ms - now_ms) / 1000))
    return RateState(
        allowed=False, limit=rate.limit, remaining=remaining, reset_at=math.ceil(free_ms / 1000), retry_after=retry_after
    )


def address_key(address: str) -> str:
    """What a client's address counts as: an IPv6 client has a /64 to itself, and would have 2^64 keys (SAFETY S8)."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Network((parsed, 64), strict=False))
    return str(parsed)
