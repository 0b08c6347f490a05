"""Writes the pages that are made from the code, or with `--check` says whether they are up to date."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import rules as rule_table  # noqa: E402 - after the path is set


def _import_all() -> None:
    """Import what declares something; modules with side effects (Alembic's scripts, commands) declare nothing."""
    import guerdon  # noqa: PLC0415

    for module in pkgutil.walk_packages(guerdon.__path__, "guerdon."):
        if not module.name.startswith(("guerdon.migrations", "guerdon.cli")) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


_ERRORS = """\
# Errors

Every error answer has its HTTP status and the body `{error, message, code, details?, requestId}`. `code` never changes its
meaning; `message` is for people and may. Where waiting helps, `Retry-After` tells the seconds.

This page is written by `make docs` from the classes in the code.

| status | code | error | what it means, and what to do |
|---|---|---|---|
"""


def errors() -> str:
    """docs/errors.md: every error class."""
    _import_all()
    from guerdon.kit.errors import registered_errors  # noqa: PLC0415

    rows: list[str] = []
    for error in registered_errors():
        if error.__module__.startswith("guerdon."):
            meaning = " ".join((error.__doc__ or "").split()).replace("|", "\\|")
            rows.append(f"| {error.status} | `{error.code}` | {error.title} | {meaning} |\n")
    return _ERRORS + "".join(rows)


_SETTINGS = """\
# Settings

Each is a variable of the environment, or a line of a file `.env` in the working directory; options of the command line go
first. An RPC address is `GUERDON_RPC_` and the network's name, `GUERDON_RPC_SONEIUM_MINATO` say, and is read from the
environment only.

This page is written by `make docs` from the code.

| variable | default | what it is |
|---|---|---|
"""

_PLAIN_NAMES = ("database_url", "database_owner_url", "redis_url")
_DEFAULTS = {"data_dir": "`~/.local/share/guerdon`; for root `/var/lib/guerdon/default`"}


def settings() -> str:
    """docs/settings.md: every field of the settings."""
    from guerdon.settings import Settings  # noqa: PLC0415

    rows: list[str] = []
    for name, field in Settings.model_fields.items():
        if name == "rpc_urls":
            continue
        variable = name.upper() if name in _PLAIN_NAMES else f"GUERDON_{name.upper()}"
        default = _DEFAULTS.get(name) or ("" if field.default in {None, ()} else f"`{field.default}`")
        rows.append(f"| `{variable}` | {default} | {(field.description or '').replace('|', chr(92) + '|')} |\n")
    return _SETTINGS + "".join(rows)


_METRICS = """\
# Metrics

What `/metrics` of web and worker tell (Prometheus). Gauges of what is in the database are the same in every process; counters and
histograms are the process's own. A histogram has `_bucket`, `_sum` and `_count`. Those that the Python process itself has
(`process_resident_memory_bytes`, `python_gc_…`) come on top. Rules to begin with are in
[prometheus-alerts.yml](prometheus-alerts.yml).

This page is written by `make docs` from the code.

| metric | kind | labels | what it is |
|---|---|---|---|
"""


def metrics() -> str:
    """docs/metrics.md: every metric."""
    _import_all()
    from guerdon.kit.metrics import described  # noqa: PLC0415

    rows: list[str] = []
    for one in described():
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {one.help_text.rstrip('.')} |\n")
    return _METRICS + "".join(rows)


def rules() -> str:
    """docs/rules.md: every rule with its tests."""
    return rule_table.page(_rules(), rule_table.find_tests(ROOT))


def rules_without_tests() -> list[str]:
    """What `rules.md` can't say: rules that no test keeps, tests and numbers that are not there."""
    mentioned = rule_table.mentioned_in(ROOT / "src")
    return list(rule_table.findings(_rules(), rule_table.find_tests(ROOT), mentioned))


def _rules() -> rule_table.Rules:
    return rule_table.read_rules((ROOT / "tools" / "rules.toml").read_text(encoding="utf-8"))


PAGES = {"errors.md": errors, "settings.md": settings, "metrics.md": metrics, "rules.md": rules}


def main() -> int:
    """Write or check."""
    stale = False
    for name, page in PAGES.items():
        target = ROOT / "docs" / name
        text = page()
        if "--check" not in sys.argv[1:]:
            target.write_text(text, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != text:
            print(f"docs/{name} is out of date: run `make docs`")
            stale = True
    problems = rules_without_tests()
    for problem in problems:
        print(problem)
    return 1 if stale or problems else 0


if __name__ == "__main__":
    sys.exit(main())
