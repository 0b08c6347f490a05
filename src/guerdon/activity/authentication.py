"""Who sends a report, and how far it is believed (DESIGN section 7). Shared by every endpoint of the event handler."""

from __future__ import annotations

import hmac
import re
from datetime import timedelta
from typing import Final

import msgspec

from guerdon.activity.calls import Call
from guerdon.activity.directory import Directory, KnownProgram
from guerdon.activity.errors import (
    DomainNotAuthorizedError,
    InvalidSignatureError,
    ProofRequiredError,
    StaleSignatureError,
)
from guerdon.activity.keys import signature_of
from guerdon.activity.schemas import host_of
from guerdon.earning.terms import Trust
from guerdon.kit.clients import Networks, client_address
from guerdon.kit.clock import Clock
from guerdon.programs.administration import Operator, parse_brand_id
from guerdon.programs.domains import LOOPBACK
from guerdon.programs.errors import ProgramMismatchError, ProgramNotFoundError, ProgramRequiredError

SIGNATURE_LIFE: Final = timedelta(minutes=5)
"""How far the time in a signature may be from now, either way."""
BRAND_HEADER: Final = b"x-loyalteez-brand-id"
SIGNATURE_HEADER: Final = b"x-loyalteez-signature"
TIMESTAMP_HEADER: Final = b"x-loyalteez-timestamp"

_FORM: Final = "A signed request has X-Loyalteez-Brand-Id, X-Loyalteez-Timestamp (milliseconds) and 64 hex digits of signature."
_SIGNATURE = re.compile(rb"[0-9a-fA-F]{64}")
_TIMESTAMP = re.compile(rb"[0-9]{1,15}")
_BEARER = re.compile(r"(?i:bearer)\s+(\S+)")
_SIGNATURE_LIFE_MS: Final = SIGNATURE_LIFE // timedelta(milliseconds=1)


class Proof(msgspec.Struct, frozen=True):
    """What a request proves by itself, before any report in it names a program."""

    named: str | None
    """The brand id in the header, in lower case."""
    signed_for: KnownProgram | None = None
    """The program whose key signed the request."""
    signature: bytes | None = None
    operator: Operator | None = None
    origin: str | None = None
    """The `Origin` header as it came, if there is one: then this is a browser."""
    client_address: str = "unknown"

    @property
    def is_unsigned(self) -> bool:
        """Whether anyone could have sent it."""
        return self.signed_for is None and self.operator is None


class Caller(msgspec.Struct, frozen=True):
    """Who sent one report: for which program, and how far it is believed."""

    program: KnownProgram
    trust: Trust
    domain: str | None
    client_address: str | None
    """Of who could be anyone; None for servers and operators."""
    signature: bytes | None


class Authenticator:
    """Checks what a request proves. A proof that is offered and wrong is refused, never passed over for a weaker one."""

    def __init__(self, directory: Directory, clock: Clock, *, trusted_proxies: Networks = (), development: bool = False) -> None:
        """`trusted_proxies`: whose `X-Forwarded-For` is believed; `development`: whether localhost may be a program's domain."""
        self._directory = directory
        self._clock = clock
        self._trusted_proxies = trusted_proxies
        self._development = development

    def named(self, call: Call) -> str | None:
        """The brand id that the header names. Raises `InvalidBrandIdError`."""
        named = call.text(BRAND_HEADER)
        return None if named is None else parse_brand_id(named)

    async def proof(self, call: Call) -> Proof:
        """What the request proves. Raises the errors of signatures and admin keys."""
        brand_id = self.named(call)
        if call.header(SIGNATURE_HEADER):
            signer = _signer(brand_id)
            return self.signed(call, await self._directory.by_brand_id(signer))
        authorization = call.text(b"authorization")
        if authorization is not None:
            bearer = _BEARER.fullmatch(authorization)
            return Proof(brand_id, operator=await self._directory.operator(bearer[1] if bearer else ""))
        return Proof(
            brand_id,
            origin=call.text(b"origin"),
            client_address=client_address(call.peer, call.text(b"x-forwarded-for"), self._trusted_proxies),
        )

    def known_signer(self, call: Call) -> KnownProgram | None:
        """The program that a request says it is signed for, if it is known without asking. Raises `InvalidSignatureError`."""
        return self._directory.known(_signer(self.named(call)))

    def signed(self, call: Call, program: KnownProgram | None) -> Proof:
        """The proof of a signed request for this program. Raises the errors of signatures."""
        signature, timestamp = call.header(SIGNATURE_HEADER).strip(), call.header(TIMESTAMP_HEADER).strip()
        if _SIGNATURE.fullmatch(signature) is None or _TIMESTAMP.fullmatch(timestamp) is None:
            raise InvalidSignatureError(_FORM)
        now = self._clock.now()
        # Integers, not a datetime: a timestamp may lie far beyond the last year that there is one for.
        if abs(int(now.timestamp() * 1000) - int(timestamp)) > _SIGNATURE_LIFE_MS:
            raise StaleSignatureError
        given = bytes.fromhex(signature.decode("ascii"))
        # As it was sent: in whatever case the caller wrote its brand id, that is what it signed.
        signed = b"%b:%b:%b" % (timestamp, call.header(BRAND_HEADER).strip(), call.body)
        fits = False
        for key in () if program is None else program.keys:
            is_valid = key.expires_at is None or key.expires_at > now
            fits |= hmac.compare_digest(hmac.digest(key.secret, signed, "sha256"), given) and is_valid
        if program is None or not fits:
            raise InvalidSignatureError
        return Proof(program.brand_id, signed_for=program, signature=signature_of(int(timestamp), given))

    async def caller(self, proof: Proof, *, brand_id: str | None, domain: str | None, source_url: str | None) -> Caller:
        """Who sent the report that names this program and domain, given what its request proves."""
        if proof.signed_for is not None:
            return self.signing_caller(proof, proof.signed_for, brand_id=brand_id, domain=domain)
        program = await self.program(proof, brand_id)
        if proof.operator is not None:
            return Caller(program, Trust.OPERATOR, _bare(domain), None, None)
        if proof.origin is not None:
            # A field of the body never stands in for the header that the browser itself writes.
            host = host_of(proof.origin)
        elif program.unsigned_reports:
            host = _bare(domain) if domain else host_of(source_url or "")
        else:
            raise ProofRequiredError
        if host is None or not program.owns(host) or (host in LOOPBACK and not self._development):
            raise DomainNotAuthorizedError
        return Caller(program, Trust.BROWSER, host, proof.client_address, None)

    def signing_caller(self, proof: Proof, program: KnownProgram, *, brand_id: str | None, domain: str | None) -> Caller:
        """The same where the request is signed for a program: the report may name no other. Raises `ProgramMismatchError`."""
        if brand_id is not None and brand_id != program.brand_id:
            raise ProgramMismatchError
        return Caller(program, Trust.SERVER, _bare(domain), None, proof.signature)

    async def program(self, proof: Proof, brand_id: str | None) -> KnownProgram:
        """The program that a request is about, in the order of DESIGN section 7.

        Raises `ProgramRequiredError`, `ProgramMismatchError`, `ProgramNotFoundError`.
        """
        names = {name for name in (proof.named, brand_id) if name is not None}
        own = proof.signed_for
        if proof.operator is not None and proof.operator.program_id is not None:
            own = await self._directory.by_id(proof.operator.program_id)
            if own is None:
                raise ProgramNotFoundError
        if own is not None:
            if names - {own.brand_id}:
                raise ProgramMismatchError
            return own
        if len(names) > 1:
            raise ProgramMismatchError
        if names:
            program = await self._directory.by_brand_id(names.pop())
            if program is None:
                raise ProgramNotFoundError
            return program
        only = await self._directory.only_program()
        if only is None:
            raise ProgramRequiredError
        return only


def _signer(brand_id: str | None) -> str:
    if brand_id is None:
        raise InvalidSignatureError(_FORM)
    return brand_id


def _bare(domain: str | None) -> str | None:
    """A reported domain in the form that domains are compared in."""
    return None if domain is None else domain.lower().removesuffix(".")
