"""Check that every statement of a repository names the program for each tenant table it touches (DESIGN section 4).

Row-level security would stop a query that forgets it, and return nothing; here the mistake is found before it runs, and the
same schema can be distributed by program. Looks at `src/guerdon/**/repository*.py`: SQL text by `sql_scope.py`, and
expressions of SQLAlchemy a function at a time. Inserts by expression are left to the database: `program_id` is part of
each primary key, so leaving it out is refused.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.sql_scope import unscoped_tables  # noqa: E402 - after the path is set

_STATEMENT = re.compile(r"\s*(?:--[^\n]*\n\s*)*(?:with|select|insert\s+into|update|delete\s+from|merge)\b", re.IGNORECASE)
_READS = {
    "select",
    "update",
    "delete",
    "exists",
    "join",
    "outerjoin",
    "select_from",
    "join_from",
    "with_entities",
    "scalar_subquery",
}
_UNKNOWN = " ? "


@dataclass(frozen=True, slots=True)
class Finding:
    """A statement that does not name the program."""

    path: Path
    line: int
    subject: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.subject} is read or changed without its program_id"


def check_source(source: str, path: Path, models: Mapping[str, str]) -> list[Finding]:
    """Findings in one file; `models` maps each tenant model's class name to its table."""
    tree = ast.parse(source, str(path))
    findings = [*_texts(tree, path, frozenset(models.values())), *_expressions(tree, path, frozenset(models))]
    return sorted(set(findings), key=lambda finding: (finding.line, finding.subject))


def _texts(tree: ast.Module, path: Path, tables: frozenset[str]) -> Iterator[Finding]:
    constants: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and (folded := _fold(node.value, constants)) is not None:
                constants[target.id] = folded
    # Neither docstrings nor parts of a text that is put together are statements of their own.
    inside = {id(part) for part in _not_alone(tree, constants)}
    for node in ast.walk(tree):
        if id(node) in inside:
            continue
        folded = _fold(node, constants) if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) else None
        if folded is None:
            continue
        inside.update(id(part) for part in ast.walk(node))
        if _STATEMENT.match(folded):
            line = getattr(node, "lineno", 0)
            for table in unscoped_tables(folded, tables):
                yield Finding(path, line, table)


def _not_alone(tree: ast.Module, constants: Mapping[str, str]) -> Iterator[ast.AST]:
    """Docstrings, and constants that are only parts of another text."""
    used = {
        part.id
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr | ast.BinOp)
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and part.id in constants
    }
    for node in ast.walk(tree):
        match node:
            case (
                ast.Module(body=[ast.Expr(value=docstring), *_])
                | ast.ClassDef(body=[ast.Expr(value=docstring), *_])
                | ast.FunctionDef(body=[ast.Expr(value=docstring), *_])
                | ast.AsyncFunctionDef(body=[ast.Expr(value=docstring), *_])
            ):
                yield docstring
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in used:
                yield from ast.walk(value)
            case _:
                pass


def _fold(node: ast.AST, constants: Mapping[str, str]) -> str | None:
    """The text an expression stands for, with `?` where that is not known; None if it is no text."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(_fold(value, constants) or _UNKNOWN for value in values)
        case ast.FormattedValue(value=value):
            return _fold(value, constants) or _UNKNOWN
        case ast.Name(id=name):
            return constants.get(name)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = [_fold(left, constants), _fold(right, constants)]
            return None if parts == [None, None] else "".join(part or _UNKNOWN for part in parts)
        case ast.Call(func=ast.Name(id="text"), args=[argument, *_]):
            return _fold(argument, constants)
        case _:
            return None


def _expressions(tree: ast.Module, path: Path, models: frozenset[str]) -> Iterator[Finding]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    nested = {id(inner) for function in functions for inner in ast.walk(function) if inner is not function}
    for function in functions:
        if id(function) not in nested:
            yield from _function(function, path, models)


def _function(function: ast.FunctionDef | ast.AsyncFunctionDef, path: Path, models: frozenset[str]) -> Iterator[Finding]:
    aliases = dict(_aliases(function, models))
    subjects = models | set(aliases)
    scoped = {subject for node in ast.walk(function) for subject in _scoped_by(node, subjects)}
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name == "get" and len(call.args) > 1 and isinstance(call.args[0], ast.Name) and call.args[0].id in models:
            if not _key_names_program(call.args[1]):
                yield Finding(path, call.lineno, call.args[0].id)
        elif name in _READS:
            for argument in call.args:
                for subject in sorted(_mentioned(argument, subjects) - scoped):
                    yield Finding(path, call.lineno, aliases.get(subject, subject))


def _aliases(function: ast.AST, models: frozenset[str]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=alias)],
                value=ast.Call(func=ast.Name(id="aliased"), args=[ast.Name(id=model), *_]),
            ) if model in models:
                yield alias, model
            case _:
                pass


def _mentioned(node: ast.AST, subjects: frozenset[str]) -> set[str]:
    """Models that an argument names, itself or by a column; what is inside a nested call is judged there."""
    match node:
        case ast.Name(id=name):
            return {name} & subjects
        case ast.Attribute(value=ast.Name(id=name)):
            return {name} & subjects
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return {name for part in parts for name in _mentioned(part, subjects)}
        case ast.Starred(value=value):
            return _mentioned(value, subjects)
        case ast.Call(func=ast.Attribute(), args=arguments):
            return {name for argument in arguments for name in _mentioned(argument, subjects)}
        case _:
            return set()


def _scoped_by(node: ast.AST, subjects: frozenset[str]) -> set[str]:
    """Models whose `program_id` this node compares."""
    match node:
        case ast.Compare(left=left, comparators=comparators):
            sides = [left, *comparators]
        case ast.Call(func=ast.Attribute(value=value, attr="in_" | "is_" | "any_")):
            sides = [value]
        case ast.Call(func=ast.Attribute(attr="filter_by"), keywords=keywords) if any(
            word.arg == "program_id" for word in keywords
        ):
            return set(subjects)
        case _:
            return set()
    return {
        part.value.id
        for side in sides
        for part in ast.walk(side)
        if isinstance(part, ast.Attribute) and part.attr == "program_id" and isinstance(part.value, ast.Name)
    } & subjects


def _key_names_program(key: ast.expr) -> bool:
    first = key.elts[0] if isinstance(key, ast.Tuple) and key.elts else key
    if isinstance(key, ast.Dict):
        return any(isinstance(name, ast.Constant) and name.value == "program_id" for name in key.keys)
    return "program_id" in ast.unparse(first)


def tenant_models() -> dict[str, str]:
    """Class names of the tenant models and their tables, as the application declares them."""
    from guerdon.kit.models import Scope  # noqa: PLC0415 - the check itself is tested without the application
    from guerdon.tables import MAPPERS  # noqa: PLC0415 - the same

    return {
        mapper.class_.__name__: mapper.local_table.name  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        for mapper in MAPPERS
        if mapper.local_table.info.get("scope") == Scope.TENANT.value  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    }


def main() -> int:
    """Check the repository's files; 1 if there is a finding."""
    models = tenant_models()
    paths = sorted((ROOT / "src" / "guerdon").rglob("repository*.py"))
    findings = [
        finding for path in paths for finding in check_source(path.read_text(encoding="utf-8"), path.relative_to(ROOT), models)
    ]
    for finding in findings:
        print(finding)
    print(f"scoped queries: {len(paths)} files, {len(models)} tenant tables, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
