"""What deploy/observability asks Prometheus for is there, and its alerts fire when they should."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from tests.test_docs import ROOT

_FOLDER = ROOT / "deploy" / "observability"
_NAME = re.compile(r"\bhamgate_\w+")


def given(client: FlaskClient) -> set[str]:
    """The names of all series that `/metrics` can have."""
    names = set()
    for family in text_string_to_metric_families(client.get("/metrics").text):
        if family.name.endswith("_created"):  # prometheus_client adds them where it runs alone
            continue
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        suffixes["info"] = ["_info"]
        names |= {family.name + suffix for suffix in suffixes.get(family.type, [""])}
    return names


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((_FOLDER / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions(node: Any) -> Iterator[str]:
    """Every expression of a dashboard."""
    if isinstance(node, dict):
        if "expr" in node:
            yield node["expr"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from expressions(part)


def test_every_metric_that_is_asked_for_exists(client: FlaskClient) -> None:
    dashboard = json.loads((_FOLDER / "dashboard.json").read_text())
    asked = [rule["expr"] for rule in rules()] + list(expressions(dashboard))
    recorded = {rule["record"] for rule in rules() if "record" in rule}

    assert {name for expr in asked for name in _NAME.findall(expr)} <= given(client)
    assert {name for expr in asked for name in re.findall(r"\bhamgate:\w+:\w+", expr)} <= recorded


def test_the_readme_names_every_metric_and_every_alert_and_no_other(client: FlaskClient) -> None:
    readme = (_FOLDER / "README.md").read_text()
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in given(client)}
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}

    assert set(re.findall(r"`(hamgate_\w+)`", readme)) == {n for n in bases if _NAME.match(n)}
    assert set(re.findall(r"`(Hamgate\w+)`", readme)) == alerts


def test_every_alert_says_what_is_wrong_and_how_much_it_hurries() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["annotations"]["summary"]
            assert rule["labels"]["severity"] in ("page", "ticket")


def test_panels_of_the_dashboard_do_not_cover_each_other() -> None:
    panels = json.loads((_FOLDER / "dashboard.json").read_text())["panels"]
    covered = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(covered) == len(set(covered))
    assert max(x for x, _ in covered) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_prometheus_itself_takes_the_rules_and_they_fire(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here; Debian has it in the package prometheus")
    tests = (Path(__file__).parent / "rules_test.yaml").read_text()
    made = tmp_path / "test.yaml"
    made.write_text(tests.replace("RULES", str(_FOLDER / "rules.yaml")))

    ended = subprocess.run(
        [promtool, "test", "rules", str(made)], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
