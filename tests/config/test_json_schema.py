"""The JSON Schema for editors: right about shapes, silent about names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from ci_gate.config.layout.json_schema import json_schema

CASES = Path(__file__).parent / "cases"
SHAPES = {"unknown-key", "missing-key", "bad-type", "top-level"}
LENIENT = {"lenient-shape"}
NOT_IN_YAML = {"yaml", "duplicate-key"}
KNOWN_CONNECTIONS_DECIDE = {"082-reporter-sql-score.yaml"}
"""Whether ``score`` belongs to an sql connection or is a review label, only the configuration tells."""

SCHEMA = json_schema()
VALIDATOR = Draft7Validator(SCHEMA)
EXPECTED = [
    each
    for each in yaml.safe_load((CASES / "expected.yaml").read_text(encoding="utf-8"))
    if not {one["code"] for one in each["problems"]} & NOT_IN_YAML
]


def test_it_is_a_schema():
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("case", EXPECTED, ids=[each["file"] for each in EXPECTED])
def test_it_judges_the_shape_of_a_case_as_validate_does(case):
    document = yaml.safe_load((CASES / case["file"]).read_text(encoding="utf-8"))
    errors = {each["code"] for each in case["problems"] if each["level"] == "error"}
    codes = {each["code"] for each in case["problems"]}
    if errors & SHAPES and case["file"] not in KNOWN_CONNECTIONS_DECIDE:
        assert not VALIDATOR.is_valid(document)
    elif not errors and not codes & LENIENT:
        VALIDATOR.validate(document)


def test_every_key_has_its_help_for_the_editor():
    pipeline = SCHEMA["properties"]["pipelines"]["items"]["properties"]
    assert pipeline["precedence"] == {
        "enum": ["high", "normal", "low"],
        "default": "normal",
        "description": "Gearman priority of builds and merges.",
    }
