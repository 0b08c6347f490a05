"""Row-level security: the policies that each scope of `kit/models.py` stands for, as migrations apply them."""

from __future__ import annotations

from guerdon.kit.models import Scope

# `SET LOCAL` leaves '' and not NULL behind on a pooled connection; the scalar subquery is evaluated once a statement (SAFETY S1).
OWN = "program_id = (select nullif(current_setting('guerdon.program_id', true), '')::uuid)"
_PLATFORM = "(select current_setting('guerdon.platform', true)) = 'on'"
_EVERY_WRITE = ("insert", "update", "delete")


def policies(table: str, scope: Scope, *, own: str = OWN) -> list[str]:
    """The statements that put `table` into `scope`; run them as the owner, once, after creating the table."""
    if scope is Scope.SHARED:
        return []
    # Not forced: the owner migrates data and owns the functions that count over all programs (SAFETY S2); the application
    # never connects as it.
    statements = [f"alter table {table} enable row level security"]
    match scope:
        case Scope.TENANT:
            statements.append(f"create policy own on {table} using ({own}) with check ({own})")
        case Scope.JOINT:
            statements.append(f"create policy own on {table} using ({own} or {_PLATFORM}) with check ({own} or {_PLATFORM})")
        case Scope.OWNED:
            statements.append(f"create policy own_reads on {table} for select using ({own})")
            statements.append(f"create policy platform_writes on {table} using ({_PLATFORM}) with check ({_PLATFORM})")
        case Scope.SECRET:
            statements.append(f"create policy platform on {table} using ({_PLATFORM}) with check ({_PLATFORM})")
        case Scope.REFERENCE | Scope.PLATFORM:
            writer = f"{own} or {_PLATFORM}" if scope is Scope.REFERENCE else _PLATFORM
            statements.append(f"create policy everybody_reads on {table} for select using (true)")
            for verb in _EVERY_WRITE:
                clause = f"with check ({writer})" if verb == "insert" else f"using ({writer})"
                statements.append(f"create policy own_{verb} on {table} for {verb} {clause}")
    return statements
