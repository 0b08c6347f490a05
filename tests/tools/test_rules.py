"""The page of rules and their tests, and the check that no rule is without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.rules import NamedTest, find_tests, findings, mentioned_in, numbers_of, page, read_rules

RULES = read_rules(
    """
    [numbered]
    S1 = "Nobody sees what is another's."
    S2 = "One at a time."

    [[section]]
    title = "Payouts"
    about = "By their numbers."
    [[section.rule]]
    name = "1"
    meaning = "Held with the booking."
    tests = ["test_points_are_held"]
    """
)
TESTS = [
    NamedTest("tests/test_a.py", "test_points_are_held"),
    NamedTest("tests/test_a.py", "test_s1_nothing_is_seen"),
    NamedTest("tests/test_b.py", "test_s1_s2_both"),
]


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("test_s12_a_repeat", ("S12",)),
        ("test_s16_s17_both_at_once", ("S16", "S17")),
        ("testFuzz_s29_no_day", ("S29",)),
        ("invariant_s17_paid_once", ("S17",)),
        ("test_x402_defect_06_a_pool", ("defect 6",)),
        ("test_x402_defect", ()),
        ("test_a_key_of_s3", ()),
        ("test_s3", ()),
    ],
)
def test_a_tests_name_carries_the_rules_it_keeps(name: str, numbers: tuple[str, ...]) -> None:
    assert numbers_of(name) == numbers


def test_each_rule_is_listed_with_its_tests() -> None:
    lines = page(RULES, TESTS).splitlines()
    nobody = "| **S1** | Nobody sees what is another's. | tests/test_a.py: `test_s1_nothing_is_seen`<br>tests/test_b.py: `test_s1_s2_both` |"
    assert nobody in lines
    assert "| **S2** | One at a time. | tests/test_b.py: `test_s1_s2_both` |" in lines
    assert lines[lines.index("## Payouts") + 2] == "By their numbers."
    assert "| **1** | Held with the booking. | tests/test_a.py: `test_points_are_held` |" in lines


def test_nothing_is_found_where_every_rule_has_a_test() -> None:
    assert list(findings(RULES, TESTS, {"S1", "S2"})) == []


@pytest.mark.parametrize(
    ("tests", "mentioned", "found"),
    [
        (TESTS[:2], set[str](), "tools/rules.toml: S2 (Rules with a number) has no test"),
        (TESTS[1:], set[str](), "tools/rules.toml: 1 names test_points_are_held, which is no test"),
        ([*TESTS, NamedTest("tests/test_c.py", "test_s9_x")], set[str](), "tests/test_c.py: test_s9_x carries S9, which tools/rules.toml does not have"),
        (TESTS, {"S3"}, "tools/rules.toml: S3 is kept by code and has no row"),
    ],
)  # fmt: skip
def test_a_rule_without_a_test_and_a_number_without_a_rule_are_found(
    tests: list[NamedTest], mentioned: set[str], found: str
) -> None:
    assert found in list(findings(RULES, tests, mentioned))


def test_tests_are_found_in_classes_and_in_solidity_too(tmp_path: Path) -> None:
    (tmp_path / "tests/kit").mkdir(parents=True)
    (tmp_path / "contracts/test").mkdir(parents=True)
    (tmp_path / "tests/kit/test_a.py").write_text(
        "async def test_s1_a(): ...\nclass TestB:\n    def test_b(self): ...\ndef helper(): ...\n"
    )
    (tmp_path / "contracts/test/A.t.sol").write_text(
        "contract A {\n    function testFuzz_s17_a(uint256 x) external {}\n    function help() {}\n}\n"
    )
    assert [(test.file, test.name) for test in find_tests(tmp_path)] == [
        ("contracts/test/A.t.sol", "testFuzz_s17_a"),
        ("tests/kit/test_a.py", "test_b"),
        ("tests/kit/test_a.py", "test_s1_a"),
    ]


def test_the_numbers_that_code_names_are_found_and_those_of_linters_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('"""Never twice (SAFETY S17, S20)."""\nx = 1  # noqa: S608 - a constant\n')
    assert mentioned_in(tmp_path) == {"S17", "S20"}
