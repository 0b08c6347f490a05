"""The example rules for Prometheus name metrics, labels and commands that there are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from guerdon.kit.metrics import Description, described

ROOT = Path(__file__).resolve().parents[2]
RULES = (ROOT / "docs" / "prometheus-alerts.yml").read_text(encoding="utf-8")
EXPRESSIONS = [
    " ".join(found.split()) for found in re.findall(r"^ {8}expr: (?:\|\n)?(.*?)(?=\n {8}\w)", RULES, re.MULTILINE | re.DOTALL)
]


@pytest.fixture(scope="module")
def metrics() -> dict[str, Description]:
    spec = importlib.util.spec_from_file_location("generated_docs", ROOT / "tools" / "generated_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.metrics()  # imports every module that declares some
    found = {one.name: one for one in described()}
    histograms = {
        f"{name}_{part}": one for name, one in found.items() if one.kind == "histogram" for part in ("bucket", "sum", "count")
    }
    return {**found, **histograms}


def test_there_are_rules() -> None:
    assert len(EXPRESSIONS) == RULES.count("- alert: ") > 15


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_of_a_rule_exists(expression: str, metrics: dict[str, Description]) -> None:
    names = re.findall(r"\b(guerdon_\w+)", expression)
    assert names
    for name in names:
        assert name in metrics
    for name, matchers in re.findall(r"\b(guerdon_\w+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)\s*[!=]", matchers):
            assert label in metrics[name].labels
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
    known = {label for name in names for label in metrics[name].labels}
    assert grouped <= known | {"le", "instance"}


def test_the_states_and_severities_that_rules_name_exist() -> None:
    from guerdon.kit.outbox import Severity
    from guerdon.status.states import MOVING

    states = {state.value for one in MOVING for state in one.states}
    assert set(re.findall(r'state!?="(\w+)"', RULES)) <= states
    assert set(re.findall(r'\{severity="(\w+)"\}', RULES)) <= set(Severity)


def test_every_metric_is_on_the_page(metrics: dict[str, Description]) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for one in {one.name for one in metrics.values()}:
        assert f"`{one}`" in page
