"""Logs: events with fields, JSON in production and readable on a terminal, and never a secret.

What is logged is decided where it happens: `structlog.get_logger("guerdon.x").info("thing.happened", field=value)`.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"

_SECRET_NAMES = re.compile(
    r"secret|password|passwd|private|mnemonic|seed|authorization|cookie|signature|credential|dsn"
    r"|(?:^|_)(?:token|api_key|apikey|access_key|security_key|signing_key|admin_key|jwt|raw)$",
    re.IGNORECASE,
)
_NAMED_OTHERWISE = frozenset({"token_address", "signature_valid"})
_SECRETS_IN_TEXT = (
    (re.compile(r"(?P<kept>[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE), r"\g<kept>" + HIDDEN),
    (re.compile(r"(?P<kept>\bBearer\s+)[\w.~+/=-]+", re.IGNORECASE), r"\g<kept>" + HIDDEN),
    # What `new_token` makes: a short prefix and 43 characters of base64.
    (re.compile(r"\b(?P<kept>g[a-z]{1,8}_)[A-Za-z0-9_-]{40,}"), r"\g<kept>" + HIDDEN),
)
_DEEPEST = 6


def configure_logging(level: str, form: Literal["json", "console"], stream: TextIO | None = None) -> None:
    """Set up logging for the process, the standard library's included; call it again to change it."""
    target = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if form == "json":
        # Without the frames' locals: a key may be in one of them, under any name.
        shared.append(structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)))
        renderer: Processor = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback)
    # Redaction comes last before rendering: nothing is added after it. (The console's traceback is rendered from exc_info.)
    final: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer]
    handler = logging.StreamHandler(target)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn.access", "httpx", "httpcore", "alembic", "web3", "urllib3"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide what has a secret's name, and what looks like a secret inside of text."""
    return cast("EventDict", {name: _redacted(name, value, 0) for name, value in event.items()})


def _redacted(name: str, value: Any, depth: int) -> Any:  # noqa: PLR0911 - one for each kind of value
    if value is None or isinstance(value, bool | int | float) or name == "exc_info":
        return value
    if _is_secret_name(name) and value != "":
        return HIDDEN
    match value:
        case str():
            return _clean(value)
        case bytes():
            return HIDDEN  # bytes are keys, hashes and signed transactions; whoever wants one logged writes its hex
        case Mapping():
            if depth >= _DEEPEST:
                return HIDDEN
            fields = cast("Mapping[Any, Any]", value)
            return {key: _redacted(str(key), inner, depth + 1) for key, inner in fields.items()}
        case list() | tuple() | set() | frozenset():
            if depth >= _DEEPEST:
                return HIDDEN
            return [_redacted("", inner, depth + 1) for inner in cast("list[Any]", value)]
        case BaseException():
            return _clean(f"{type(value).__name__}: {value}")
        case _:
            return _clean(str(value))


def _is_secret_name(name: str) -> bool:
    return name not in _NAMED_OTHERWISE and _SECRET_NAMES.search(name) is not None


def _clean(text: str) -> str:
    for pattern, replacement in _SECRETS_IN_TEXT:
        text = pattern.sub(replacement, text)
    return text
