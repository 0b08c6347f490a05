"""Rate limits, in one process and shared through Redis."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.kit.errors import RateLimitedError
from guerdon.kit.ratelimit import Rate, RateLimiter, address_key

RATE = Rate(3, 60)


@pytest.fixture(params=["memory", "redis"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[RateLimiter]:
    made = RateLimiter(request.getfixturevalue("redis_url") if request.param == "redis" else None)
    yield made
    await made.close()


async def test_so_many_are_allowed_and_the_next_is_told_when(limiter: RateLimiter) -> None:
    remaining = [(await limiter.hit("events", "k", RATE)).remaining for _ in range(3)]
    assert remaining == [2, 1, 0]
    refused = await limiter.hit("events", "k", RATE)
    assert not refused.allowed
    assert (refused.limit, refused.remaining) == (3, 0)
    assert 1 <= refused.retry_after <= 121
    assert 0 <= refused.reset_at - time.time() <= 122
    assert refused.headers().keys() == {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"}
    with pytest.raises(RateLimitedError) as error:
        refused.require()
    assert error.value.retry_after == refused.retry_after


async def test_keys_and_names_count_apart(limiter: RateLimiter) -> None:
    for _ in range(4):
        await limiter.hit("events", "k", RATE)
    assert (await limiter.hit("events", "other", RATE)).allowed
    assert (await limiter.hit("admin", "k", RATE)).allowed


async def test_a_cost_is_taken_whole_or_not_at_all(limiter: RateLimiter) -> None:
    assert (await limiter.hit("events", "k", RATE, cost=2)).remaining == 1
    assert not (await limiter.hit("events", "k", RATE, cost=2)).allowed
    assert (await limiter.hit("events", "k", RATE)).allowed


async def test_the_window_ends(limiter: RateLimiter) -> None:
    rate = Rate(2, 1)
    deadline = time.monotonic() + 5
    while (await limiter.hit("events", "k", rate)).allowed and time.monotonic() < deadline:
        pass
    refused = await limiter.hit("events", "k", rate)
    assert not refused.allowed
    while not (await limiter.hit("events", "k", rate)).allowed:
        assert time.monotonic() < deadline


async def test_two_processes_share_one_count_through_redis(redis_url: str) -> None:
    first, second = RateLimiter(redis_url), RateLimiter(redis_url)
    for limiter in (first, second, first):
        assert (await limiter.hit("events", "k", RATE)).allowed
    assert not (await second.hit("events", "k", RATE)).allowed
    await first.close()
    await second.close()


async def test_with_a_dead_redis_the_process_counts_alone(port: int) -> None:
    limiter = RateLimiter(f"redis://127.0.0.1:{port}/0")
    assert [(await limiter.hit("events", "k", RATE)).allowed for _ in range(4)] == [True, True, True, False]
    await limiter.close()


@given(
    st.integers(1, 20),
    st.integers(1, 10),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 5)), max_size=60),
)
def test_no_clock_window_ever_lets_through_more_than_the_limit(limit: int, seconds: int, hits: list[tuple[int, int]]) -> None:
    limiter, rate, now_ms = RateLimiter(), Rate(limit, seconds), 1_700_000_000_123
    taken: dict[int, int] = {}
    for wait_ms, cost in hits:
        now_ms += wait_ms
        state = limiter.hit_here("n", "k", rate, cost=cost, now_ms=now_ms)
        assert 0 <= state.remaining <= limit
        if state.allowed:
            window = now_ms // (seconds * 1000)
            taken[window] = taken.get(window, 0) + cost
    assert all(count <= limit for count in taken.values())


@given(st.integers(1, 20), st.integers(1, 10), st.lists(st.integers(0, 3000), min_size=1, max_size=40))
def test_after_the_time_told_the_same_is_allowed(limit: int, seconds: int, waits: list[int]) -> None:
    limiter, rate, now_ms = RateLimiter(), Rate(limit, seconds), 1_700_000_000_123
    for wait_ms in waits:
        now_ms += wait_ms
        state = limiter.hit_here("n", "k", rate, now_ms=now_ms)
        if not state.allowed:
            now_ms += state.retry_after * 1000
            assert limiter.hit_here("n", "k", rate, now_ms=now_ms).allowed


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_s8_an_ipv6_client_counts_by_its_64(address: str, key: str) -> None:
    assert address_key(address) == key


def test_many_keys_fill_no_memory_and_are_still_slowed() -> None:
    limiter = RateLimiter(max_keys=100)
    states = [limiter.hit_here("events", f"address {number}", RATE, now_ms=1_000) for number in range(20_000)]
    assert all(state.allowed for state in states[:100])
    assert sum(state.allowed for state in states[100:]) <= 1_024 * RATE.limit
    (window,) = limiter._windows.values()
    assert len(window.current) <= 100 + 1_024
    # Whoever has a counter of its own keeps it.
    assert [limiter.hit_here("events", "address 7", RATE, now_ms=1_001).remaining for _ in range(2)] == [1, 0]
