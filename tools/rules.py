"""Which tests keep which rule: docs/rules.md, made of `rules.toml` and the names of the tests (`make docs`).

A test names the rules it keeps by their numbers (`test_s12_…`, `test_s16_s17_…`; in Solidity `testFuzz_s17_…`), and the defect of
an earlier program that it would have caught (`test_x402_defect_06_…`).
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_NUMBERS = re.compile(r"(?:test|testFuzz|invariant)((?:_s\d+)+)_")
_DEFECT = re.compile(r"test_x402_defect_(\d+)_")
_SOLIDITY = re.compile(r"^\s*function ((?:test|testFuzz|invariant)_\w+)", re.MULTILINE)
# Linters have rules of that form too, with three digits.
_MENTIONED = re.compile(r"\bS\d{1,2}\b")

_HEAD = """\
# Rules and their tests

Rules that whatever moves points or tokens keeps, and the tests that fail where one is broken. Code and tests name a rule by its
number. This page is written by `make docs` from `tools/rules.toml` and the names of the tests.
"""
_DEFECTS = "What another program got wrong"
_ABOUT_DEFECTS = (
    "Defects of a rewards program for payments that was built, run and given up. Each would be caught here by the tests beside\n"
    "it, which carry its number (`test_x402_defect_06_…`)."
)
_TABLE = "\n| rule | what it says | tests |\n|---|---|---|\n"


@dataclass(frozen=True, slots=True, order=True)
class NamedTest:
    """A test function and the file it is in, from the repository's root."""

    file: str
    name: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A row: a rule that its tests number (`tests` is empty), or one that names its tests."""

    section: str
    name: str
    meaning: str
    tests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in the page's order, with what introduces each section."""

    rules: tuple[Rule, ...]
    about: Mapping[str, str]

    @property
    def numbered(self) -> frozenset[str]:
        """The numbers that tests may carry."""
        return frozenset(rule.name for rule in self.rules if not rule.tests)


def read_rules(text: str) -> Rules:
    """What `rules.toml` says."""
    data = tomllib.loads(text)
    rules = [Rule("Rules with a number", name, meaning) for name, meaning in data["numbered"].items()]
    rules += [Rule(_DEFECTS, f"defect {number}", meaning) for number, meaning in data.get("defects", {}).items()]
    for section in data.get("section", []):
        rules += [Rule(section["title"], one["name"], one["meaning"], tuple(one["tests"])) for one in section["rule"]]
    about = {section["title"]: section.get("about", "") for section in data.get("section", [])}
    return Rules(tuple(rules), {_DEFECTS: _ABOUT_DEFECTS, **about})


def find_tests(root: Path) -> list[NamedTest]:
    """Every test of the repository, of the contracts' too."""
    found: list[NamedTest] = []
    for path in sorted((root / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        found += [NamedTest(str(path.relative_to(root)), node.name) for node in functions if node.name.startswith("test_")]
    for path in sorted((root / "contracts" / "test").glob("*.sol")):
        names = _SOLIDITY.findall(path.read_text(encoding="utf-8"))
        found += [NamedTest(str(path.relative_to(root)), name) for name in names]
    return sorted(found)


def numbers_of(name: str) -> tuple[str, ...]:
    """The rules that a test's name carries: ("S16", "S17") of `test_s16_s17_…`, ("defect 6",) of `test_x402_defect_06_…`."""
    defect = _DEFECT.match(name)
    if defect is not None:
        return (f"defect {int(defect[1])}",)
    match = _NUMBERS.match(name)
    return () if match is None else tuple(f"S{number}" for number in re.findall(r"\d+", match[1]))


def tests_of(rule: Rule, tests: Iterable[NamedTest]) -> list[NamedTest]:
    """The tests that keep a rule."""
    if rule.tests:
        return [test for test in tests if test.name in rule.tests]
    return [test for test in tests if rule.name in numbers_of(test.name)]


def mentioned_in(source: Path) -> frozenset[str]:
    """The numbers that the product's code names."""
    return frozenset(number for path in source.rglob("*.py") for number in _MENTIONED.findall(path.read_text(encoding="utf-8")))


def findings(rules: Rules, tests: list[NamedTest], mentioned: Iterable[str]) -> Iterator[str]:
    """What is wrong: a rule without a test, a test that is not there, a number that is no rule."""
    names = {test.name for test in tests}
    for rule in rules.rules:
        if not tests_of(rule, tests):
            yield f"tools/rules.toml: {rule.name} ({rule.section}) has no test"
        yield from (f"tools/rules.toml: {rule.name} names {test}, which is no test" for test in rule.tests if test not in names)
    for test in tests:
        unknown = [number for number in numbers_of(test.name) if number not in rules.numbered]
        yield from (f"{test.file}: {test.name} carries {number}, which tools/rules.toml does not have" for number in unknown)
    missing = sorted(set(mentioned) - rules.numbered, key=lambda number: int(number[1:]))
    yield from (f"tools/rules.toml: {number} is kept by code and has no row" for number in missing)


def page(rules: Rules, tests: list[NamedTest]) -> str:
    """docs/rules.md."""
    text, section = _HEAD, ""
    for rule in rules.rules:
        if rule.section != section:
            section = rule.section
            about = rules.about.get(section, "")
            text += f"\n## {section}\n" + (f"\n{about}\n" if about else "") + _TABLE
        by_file: dict[str, list[str]] = defaultdict(list)
        for test in tests_of(rule, tests):
            by_file[test.file].append(f"`{test.name}`")
        listed = "<br>".join(f"{file}: {', '.join(names)}" for file, names in by_file.items())
        text += f"| **{rule.name}** | {rule.meaning} | {listed} |\n"
    return text
