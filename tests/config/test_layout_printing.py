"""What loads can be printed again, and the print loads to an equal layout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layout_parts import CONNECTIONS as PARTS_CONNECTIONS
from layout_parts import Layouts
from random_layouts import CONNECTIONS, FUNCTIONS, layouts
from test_layout_cases import CASES, EXPECTED, USUAL_CONNECTIONS
from test_layout_hostile import REAL, mutation

from ci_gate.config.layout import LoadedLayout, load_layout
from ci_gate.config.problems import Level, RefusedError
from ci_gate.model.layout import Layout
from ci_gate.questions.printing import only_project, print_layout

ACCEPTED = [each for each in EXPECTED if each["expect"] == "accept"]


def reloaded(folder: Path, loaded: LoadedLayout, **options) -> Layout:
    path = folder / "printed.yaml"
    includes = [str(each) for each in loaded.functions.files]
    path.write_text(print_layout(loaded.layout, includes), encoding="utf-8")
    return load_layout(path, **options).layout


@given(layouts(), st.sampled_from([CONNECTIONS, None]), st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_valid_loads_and_its_print_loads_to_an_equal_layout(tmp_path, document, connections, joins):
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    options = {"connections": connections, "noop_joins_queues": joins}
    text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    try:
        loaded = Layouts(tmp_path).load(text, **options)
    except RefusedError as refused:
        errors = [each for each in refused.problems if each.level is Level.ERROR]
        assert {each.code for each in errors} == {"queue-name-conflict"}, [str(each) for each in errors]
        return
    printed = reloaded(tmp_path, loaded, **options)
    assert printed.pipelines == loaded.layout.pipelines
    assert printed.jobs == loaded.layout.jobs
    assert printed == loaded.layout
    assert [*printed.projects.items()] == [*loaded.layout.projects.items()]


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda each: each["file"])
def test_a_case_is_printed_as_it_was_read(case, tmp_path):
    connections = case.get("connections", USUAL_CONNECTIONS)
    loaded = load_layout(CASES / case["file"], connections=connections)
    assert reloaded(tmp_path, loaded, connections=connections) == loaded.layout


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_mutated_layout_that_still_loads_is_printed_as_it_was_read(tmp_path, data):
    document = mutation(data)
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    try:
        loaded = Layouts(tmp_path).load(yaml.safe_dump(document, allow_unicode=True))
    except RefusedError:
        return
    assert reloaded(tmp_path, loaded, connections=PARTS_CONNECTIONS) == loaded.layout


@pytest.mark.skipif(not REAL.exists(), reason="the real layout lies beside the project, not in it")
def test_a_real_layout_is_printed_as_it_was_read(tmp_path):
    text = REAL.read_text(encoding="utf-8")
    names = sorted(set(re.findall(r"parameter-function: (\S+)", text)))
    functions = tmp_path / "openstack_functions.py"
    functions.write_text("".join(f"def {name}(item, job, params):\n    pass\n" for name in names))
    loaded = Layouts(tmp_path).load(text, connections=CONNECTIONS)
    assert reloaded(tmp_path, loaded, connections=CONNECTIONS) == loaded.layout


def test_one_project_can_be_printed_alone(layouts):
    text = """
        pipelines:
          - {name: check, manager: IndependentPipelineManager, trigger: {}}
          - {name: post, manager: IndependentPipelineManager, trigger: {}}
        jobs:
          - {name: '^.*-docs$', files: ^docs/}
          - {name: unused, voting: false}
        project-templates:
          - {name: docs, check: ['{name}-docs']}
        projects:
          - {name: demo/app, template: [{name: docs}]}
          - {name: demo/lib, post: [unit]}
    """
    assert print_layout(only_project(layouts.layout(text), "demo/app")) == (
        "pipelines:\n- name: check\n  manager: IndependentPipelineManager\n  trigger: {}\n"
        "jobs:\n- name: app-docs\n  files: ^docs/\n"
        "projects:\n- name: demo/app\n  check:\n  - app-docs\n"
    )
