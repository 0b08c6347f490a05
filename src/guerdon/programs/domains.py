"""Which hosts a program may name as its own, and whether a host is one of them. Pure.

Whose `Origin` is compared, and when, is decided by `activity/authentication.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from guerdon.programs.errors import InvalidDomainError

PLATFORM_NAMES: Final = frozenset({"discord", "farcaster", "shopify", "telegram", "twitter", "wordpress"})
"""What existing bots send as their domain instead of a host."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{4,253}}$)(?:{_LABEL}\.)+{_LABEL}")
_IP_LIKE = re.compile(r"[0-9.]+")


def parse_domain(text: str, *, development: bool) -> str:
    """A domain in the form it is stored and compared in; `InvalidDomainError` says what is wrong with it.

    `development` permits the names of this machine (DESIGN section 7).
    """
    domain = text.strip().lower().removesuffix(".")
    if "://" in domain or "/" in domain:
        message = f"`{text}` is an address; give only its host, such as shop.example.com"
        raise InvalidDomainError(message, details={"field": "domain"})
    if domain in LOOPBACK:
        if development:
            return domain
        message = f"`{domain}` is accepted in development only: start with --environment development"
        raise InvalidDomainError(message, details={"field": "domain"})
    if ":" in domain:
        message = f"`{text}` has a port; a domain holds for every port of its host"
        raise InvalidDomainError(message, details={"field": "domain"})
    if domain in PLATFORM_NAMES:
        return domain
    if not domain.isascii():
        message = f"`{text}` has letters outside ASCII; give it as browsers send it, with xn-- labels"
        raise InvalidDomainError(message, details={"field": "domain"})
    host = domain.removeprefix("*.")
    if _HOST.fullmatch(host) is None or _IP_LIKE.fullmatch(host):
        raise InvalidDomainError(details={"field": "domain"})
    return domain


def is_one_of(host: str, domains: Collection[str]) -> bool:
    """Is `host` one of the domains, exactly or below a `*.`? Without port, in any case."""
    name = host.lower().removesuffix(".")
    if name in domains:
        return True
    _, dot, parent = name.partition(".")
    while dot:
        if f"*.{parent}" in domains:
            return True
        _, dot, parent = parent.partition(".")
    return False
