"""Every place in the code that raises an alert, read from the sources: which kind, and what it tells people to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import guerdon

PACKAGE = Path(guerdon.__file__).parent
PLACEHOLDER = "{}"


@dataclass(frozen=True, slots=True)
class AlertCall:
    """One call of `raise_alert`."""

    place: str
    kind: str
    severity: str
    message: str
    """With `{}` for what is filled in."""
    remedy: str


def alert_calls() -> list[AlertCall]:
    """All of them, in the order of the files."""
    return [call for path in sorted(PACKAGE.rglob("*.py")) for call in _calls_in(path)]


def remedies_elsewhere() -> list[str]:
    """Remedies that reach an alert by way of a value: those of `EnvironmentProblem`."""
    remedies: list[str] = []
    for name in ("simulation.py", "allowances.py"):
        tree = ast.parse((PACKAGE / "payouts" / name).read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) == "EnvironmentProblem"]
        remedies += [_text(call.args[1], tree) for call in calls]
    return remedies


def _calls_in(path: Path) -> Iterator[AlertCall]:
    source = path.read_text(encoding="utf-8")
    if "raise_alert(" not in source:
        return
    tree = ast.parse(source)
    module = import_module(".".join(("guerdon", *path.relative_to(PACKAGE).with_suffix("").parts)))
    known: set[ast.AST] = set()
    for function in ast.walk(tree):  # from the outside in: what a call names is assigned in the outermost function
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _name(node.func) == "raise_alert" and node not in known:
                known.add(node)
                words = {keyword.arg: keyword.value for keyword in node.keywords}
                yield AlertCall(
                    place=f"{path.name}:{node.lineno}",
                    kind=_kind(node.args[1], module),
                    severity=ast.unparse(words["severity"]).rpartition(".")[2].lower(),
                    message=_text(words["message"], function),
                    remedy=_text(words["remedy"], function),
                )


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _kind(node: ast.expr, module: ModuleType) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    found: object = module
    for part in ast.unparse(node).split("."):
        found = getattr(found, part)
    return str(found)


def _text(node: ast.expr, within: ast.AST) -> str:
    """What an expression says, with `{}` for what is filled in; a name stands for all that is assigned to it."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.JoinedStr():
            return "".join(_text(part, within) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values)
        case ast.BinOp():
            return _text(node.left, within) + _text(node.right, within)
        case ast.IfExp():
            return f"{_text(node.body, within)} {_text(node.orelse, within)}"
        case ast.BoolOp():
            return " ".join(_text(value, within) for value in node.values)
        case ast.Name():
            return " ".join(_text(value, within) for value in _assigned(node.id, within))
        case _:
            return PLACEHOLDER


def _assigned(name: str, within: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(within):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            yield node.value  # type: ignore[union-attr]
