"""Whose page asks: what a wallet shows as the site, and which pages a session kept in a cookie is good on.

The host of a text to sign is never taken from a request's `Host`, which anyone writes: it is this installation's own, or that of
a page (`Origin`, which browsers write) that is one of the program's domains. Wallets warn where it is not the page that asks.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.requests import Request

from guerdon.accounts import repository_members
from guerdon.accounts.errors import CrossSiteRequestError, OriginNotAllowedError
from guerdon.kit.database import ScopedSession
from guerdon.programs.domains import LOOPBACK, is_one_of
from guerdon.programs.models import Program
from guerdon.programs.repository import domains_of
from guerdon.settings import Environment, Settings

_ORIGIN = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9._-]{0,252})|\[[0-9a-f:]{2,39}\])(?::[0-9]{1,5})?")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def canonical_origin(origin: str) -> str | None:
    """An origin as browsers write it, `https://host` or `https://host:port`, in lower case; None if it is anything else.

    It may come to stand in a text that people sign, so nothing else gets through: no user, no path, no words.
    """
    given = origin.lower()
    return given if _ORIGIN.fullmatch(given) is not None else None


def host_of(origin: str) -> str | None:
    """The host of an origin, in lower case and without port; None if it has none."""
    found = canonical_origin(origin)
    if found is None:
        return None
    host = urlsplit(found).hostname or ""
    return f"[{host}]" if ":" in host else host.removesuffix(".")


def host_header(request: Request) -> str | None:
    """The host that a request was sent to, as it says itself; good for choosing, and no proof of anything."""
    return host_of(f"http://{request.headers.get('host', '')}")


def is_own(settings: Settings, origin: str) -> bool:
    """Is it this installation's own page? On a machine of development every name of it is."""
    asking = canonical_origin(origin)
    if asking is None or asking == settings.own_origin:
        return asking is not None
    return (
        settings.environment is Environment.DEVELOPMENT
        and host_of(settings.own_origin) in LOOPBACK
        and host_of(asking) in LOOPBACK
        and settings.own_origin.rpartition(":")[2] == asking.rpartition(":")[2]
    )


def require_own_page(request: Request, settings: Settings) -> None:
    """For whoever comes with a cookie: browsers send it along whichever page asks, so the page has to be ours, or read only.

    Raises `CrossSiteRequestError`.
    """
    if request.method in _SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    if origin is None:
        if request.headers.get("sec-fetch-site") != "same-origin":
            raise CrossSiteRequestError
    elif not is_own(settings, origin):
        raise CrossSiteRequestError


async def program_of_page(session: ScopedSession, request: Request, settings: Settings, named: Program | None) -> Program | None:
    """The program on whose page somebody signs in: the one named, if the page is its own. None: our own page, or no page.

    Raises `OriginNotAllowedError` for the page of somebody else.
    """
    origin = request.headers.get("origin")
    if origin is None or is_own(settings, origin):
        return None
    if named is None or not await _owns(session, named, origin, settings):
        raise OriginNotAllowedError
    return named


async def asking_origin(session: ScopedSession, request: Request, settings: Settings, program: Program | None) -> str:
    """Scheme and host of the page that asks for a signature: the program's or our own; our own without a page.

    Raises `OriginNotAllowedError`.
    """
    await program_of_page(session, request, settings, program)
    return request.headers.get("origin", settings.own_origin).lower()


async def _owns(session: ScopedSession, program: Program, origin: str, settings: Settings) -> bool:
    host = host_of(origin)
    if host is None or (host in LOOPBACK and settings.environment is not Environment.DEVELOPMENT):
        return False
    return is_one_of(host, {row.domain for row in await domains_of(session, program.id)})


async def program_at(session: ScopedSession, host: str | None) -> Program | None:
    """The one program that has registered the host that a request was sent to."""
    if host is None:
        return None
    found = await repository_members.programs_at_host(session, host)
    return await session.get(Program, found[0]) if len(found) == 1 else None
