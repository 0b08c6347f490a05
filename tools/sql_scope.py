"""Finds tenant tables that an SQL text touches without binding their `program_id`; what `check_scoped_queries.py` asks.

It reads SQL by words and brackets, not by grammar: each bracketed SELECT is a level of its own, and each tenant table of a
level needs its `program_id` compared in that level's conditions, directly with a value or through another table's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    --[^\n]* | /\*.*?\*/                      # comments
    | '(?:[^']|'')*'                          # literals
    | "[^"]+"(?:\s*\.\s*"[^"]+")*             # quoted names
    | [A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)*   # names, with their table
    | :[A-Za-z_]\w* | \$\d+ | \d+(?:\.\d+)?   # parameters and numbers
    | ::|<>|<=|>=|!=|\|\||->>|->|[^\s]        # signs
    """,
    re.VERBOSE | re.DOTALL,
)
_STARTS = {"select", "with", "insert", "update", "delete", "merge", "values", "table"}
_SET_OPERATIONS = {"union", "except", "intersect"}
_ENDS_CONDITIONS = {"group", "order", "returning", "limit", "window", "fetch", "offset"}
_NO_ALIAS = {
    "as", "on", "using", "where", "set", "join", "left", "right", "full", "inner", "cross", "natural", "lateral", "group",
    "order", "limit", "offset", "returning", "for", "values", "select", "default", "union", "except", "intersect", "having",
    "tablesample", "window", "fetch", "do", "when", "and", "or", "not", "from", "overriding", "conflict", "with",
}  # fmt: skip
_COMPARES = {"=", "in"}
_BEFORE_A_ROW = {"where", "and", "or", "on", "not", "("}


@dataclass(slots=True)
class _Level:
    """The words of one query, without those of the queries inside it."""

    words: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class _Touched:
    table: str
    name: str
    """Its alias, else the table's own name."""
    inserted: bool
    columns: tuple[str, ...] = ()


def unscoped_tables(sql: str, tenant_tables: frozenset[str]) -> list[str]:
    """Tenant tables, once for each time they are touched without a bound `program_id`."""
    return [table for level in _levels(_words(sql)) for table in _unscoped(level.words, tenant_tables)]


def _words(sql: str) -> list[str]:
    return [token.lower().replace('"', "") for token in _TOKEN.findall(sql) if not token.startswith(("--", "/*"))]


def _levels(words: list[str]) -> Iterator[_Level]:
    """One level for each query; brackets that hold no query stay part of the level around them."""
    done: list[_Level] = []
    stack: list[tuple[_Level, bool]] = [(_Level(), True)]
    for position, word in enumerate(words):
        level, _ = stack[-1]
        if word == "(":
            opens_query = position + 1 < len(words) and words[position + 1] in _STARTS
            if opens_query:
                level.words.append("(?)")  # what a query inside amounts to, seen from outside
                stack.append((_Level(), True))
            else:
                level.words.append(word)
                stack.append((level, False))
        elif word == ")" and len(stack) > 1:
            closed, was_query = stack.pop()
            if was_query:
                done.append(closed)
            else:
                closed.words.append(word)
        elif word in _SET_OPERATIONS | {";"}:
            done.append(_Level(list(level.words)))
            level.words.clear()
        else:
            level.words.append(word)
    done.extend(level for level, is_query in stack if is_query)
    yield from (level for level in done if level.words)


def _unscoped(words: list[str], tenant_tables: frozenset[str]) -> Iterator[str]:
    touched = [one for one in _touched(words) if one.table in tenant_tables]
    if not touched:
        return
    for one in touched:
        if one.inserted and "program_id" not in one.columns:
            yield one.table
    read = [one for one in touched if not one.inserted]
    names = {one.name for one in read}
    bound = _bound(words, names)
    for one in read:
        if one.name not in bound:
            yield one.table


def _touched(words: list[str]) -> Iterator[_Touched]:
    position = 0
    while position < len(words):
        word = words[position]
        before = words[position - 1] if position else ""
        begins = (
            word in {"join", "into"}
            or (word == "from" and before != "distinct")
            or (word == "using" and not _at(words, position + 1).startswith("("))
            or (word == "update" and before not in {"for", "key", "do"})
        )
        position += 1
        if not begins:
            continue
        while True:
            while _at(words, position) in {"only", "lateral"}:
                position += 1
            table = _at(words, position)
            position += 1
            if re.fullmatch(r"[a-z_][\w$.]*", table) and not (_at(words, position) == "(" and word != "into"):
                name, position = _alias(words, position, table)
                columns: tuple[str, ...] = ()
                if word == "into" and _at(words, position) == "(":
                    end = words.index(")", position)
                    columns = tuple(words[position + 1 : end])
                yield _Touched(table.rpartition(".")[2], name, word == "into", columns)
            elif table == "(?)":
                _, position = _alias(words, position, table)
            position = _skip_brackets(words, position) if word != "into" else position
            if word == "into" or _at(words, position) != ",":
                break
            position += 1


def _at(words: list[str], position: int) -> str:
    return words[position] if position < len(words) else ""


def _alias(words: list[str], position: int, table: str) -> tuple[str, int]:
    if _at(words, position) == "as":
        position += 1
    follows = _at(words, position)
    if re.fullmatch(r"[a-z_]\w*", follows) and follows not in _NO_ALIAS:
        return follows, position + 1
    return table.rpartition(".")[2], position


def _skip_brackets(words: list[str], position: int) -> int:
    """Past `unnest(...) with ordinality as u (a, b)` and the like, to what follows the item of a FROM list."""
    while position < len(words):
        word = words[position]
        if word == "(":
            depth = 0
            while position < len(words):
                depth += {"(": 1, ")": -1}.get(words[position], 0)
                position += 1
                if depth == 0:
                    break
        elif word in {"as", "with", "ordinality"} or (re.fullmatch(r"[a-z_]\w*", word) and word not in _NO_ALIAS):
            position += 1
        else:
            break
    return position


def _bound(words: list[str], names: set[str]) -> set[str]:
    """Of these tables, those whose `program_id` is compared with a value, or with one that is, in the conditions."""
    bound: set[str] = set()
    equal = list(_joined_by_using(words, names))
    for position in _in_conditions(words):
        owner = _owner(words[position], names)
        operand = _operand(words, position) if owner is not None else ""
        other = _owner(operand, names) if "." in operand and operand.endswith(".program_id") else None
        if owner is None or not operand:
            continue
        if other is None:
            bound.add(owner)
        else:
            equal.append((owner, other))
    while tied := {name for pair in equal if bound & set(pair) for name in pair} - bound:
        bound |= tied
    return bound


def _joined_by_using(words: list[str], names: set[str]) -> Iterator[tuple[str, str]]:
    """`join b using (program_id, …)` ties every table of the level."""
    for position, word in enumerate(words):
        if word == "using" and _at(words, position + 1) == "(" and "program_id" in words[position : words.index(")", position)]:
            yield from ((one, other) for one in names for other in names if one != other)


def _in_conditions(words: list[str]) -> Iterator[int]:
    """Where `program_id` stands in a WHERE, an ON or a HAVING."""
    inside = False
    for position, word in enumerate(words):
        if word in {"where", "having"} or (word == "on" and _at(words, position + 1) != "conflict"):
            inside = True
        elif word in _ENDS_CONDITIONS:
            inside = False
        elif inside and word.rpartition(".")[2] == "program_id":
            yield position


def _owner(word: str, names: set[str]) -> str | None:
    owner = word.rpartition(".")[0].rpartition(".")[2]
    if owner:
        return owner if owner in names else None
    # Unqualified it is unambiguous only where one table has the column.
    return next(iter(names)) if len(names) == 1 else None


def _operand(words: list[str], position: int) -> str:
    """What a `program_id` is compared with, '' if it is not compared."""
    follows, before = _at(words, position + 1), _at(words, position - 1)
    if follows in _COMPARES:
        operand = _at(words, position + 2)
        return operand if operand != "(" else _at(words, position + 3) or "("
    if before == "=":
        return _at(words, position - 2)
    if before in {"(", ","} and follows in {",", ")"} and ")" in words[position:]:
        # A row: `(a.program_id, a.id) = (…)` or `in (…)`, and not the arguments of a function.
        begin = len(words[:position]) - 1 - words[:position][::-1].index("(") if "(" in words[:position] else 0
        end = words.index(")", position)
        if _at(words, begin - 1) in _BEFORE_A_ROW and _at(words, end + 1) in _COMPARES:
            return _at(words, end + 2)
    return ""
