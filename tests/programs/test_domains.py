"""Domains: what a program may name, and what is one of them (DESIGN section 7)."""

from __future__ import annotations

import pytest

from guerdon.programs.domains import is_one_of, parse_domain
from guerdon.programs.errors import InvalidDomainError


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("shop.example.com", "shop.example.com"),
        (" Shop.Example.COM. ", "shop.example.com"),
        ("*.example.com", "*.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("telegram", "telegram"),
    ],
)
def test_a_domain_is_a_host_or_all_hosts_below_one(text: str, domain: str) -> None:
    assert parse_domain(text, development=False) == domain


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "*.", "*.com", "com", "https://shop.example.com", "shop.example.com/path", "shop.example.com:8080",
        "a.*.example.com", "**.example.com", "-a.example.com", "a-.example.com", "a..example.com", "192.0.2.1", "bücher.example",
        "sh op.example.com", "shop.example.com\x00", f"{'a' * 64}.example.com", f"{'a.' * 130}com", "user@example.com",
    ],
)  # fmt: skip
def test_what_is_no_domain_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(InvalidDomainError):
        parse_domain(text, development=True)


@pytest.mark.parametrize("text", ["localhost", "127.0.0.1", "[::1]"])
def test_names_of_this_machine_are_for_development_only(text: str) -> None:
    assert parse_domain(text, development=True) == text
    with pytest.raises(InvalidDomainError, match="development only"):
        parse_domain(text, development=False)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("shop.example.com", True),
        ("SHOP.example.com", True),
        ("shop.example.com.", True),
        ("a.wild.example", True),
        ("a.b.wild.example", True),
        ("wild.example", False),
        ("other.example.com", False),
        ("evil-shop.example.com", False),
        ("shop.example.com.evil.example", False),
        ("example.com", False),
        ("notwild.example", False),
        ("", False),
    ],
)
def test_a_host_is_one_of_the_domains_exactly_or_below_a_star(host: str, is_ours: bool) -> None:
    assert is_one_of(host, {"shop.example.com", "*.wild.example"}) is is_ours
