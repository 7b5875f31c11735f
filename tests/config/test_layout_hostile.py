"""Whatever stands in a layout: it loads or is refused with problems, and a real one loads (layout.md 12)."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layout_parts import Layouts
from random_layouts import FUNCTIONS, layouts

from ci_gate.config.layout import load_layout
from ci_gate.config.problems import Level, RefusedError, has_errors

CASES = Path(__file__).parent / "cases"
GOOD = [
    yaml.safe_load((CASES / name).read_text(encoding="utf-8"))
    for name in (
        "021-pipeline-all-keys.yaml",
        "106-nested-tree.yaml",
        "124-template-expand.yaml",
        "139-queues-named.yaml",
    )
]
REAL = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "openstack-layout.yaml"
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        10**30,
        1.5,
        "",
        "^(",
        "{",
        "a b",
        "x" * 300,
        [],
        {},
        [[]],
        [None],
        {"": None},
        {"a": {}},
        "ä\u200b",
    ]
)


def places(value, path=()):
    """Every place in a document, outermost first."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def mutated(document, path, replacement, *, rename: bool):
    document = copy.deepcopy(document)
    if not path:
        return replacement
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if rename and isinstance(parent, dict):
        parent[str(replacement)[:20]] = parent.pop(path[-1])
    else:
        parent[path[-1]] = replacement
    return document


def mutation(data):
    """A good layout, written or random, with up to three places changed."""
    document = data.draw(st.sampled_from(GOOD) | layouts())
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(places(document))))
        document = mutated(document, path, data.draw(ODD), rename=data.draw(st.booleans()))
    return document


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_mutated_layout_loads_or_is_refused_with_problems(tmp_path, data):
    document = mutation(data)
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    try:
        problems = Layouts(tmp_path).load(yaml.safe_dump(document, allow_unicode=True)).problems
        assert not has_errors(problems)
    except RefusedError as refused:
        problems = refused.problems
    assert all(each.text and each.line >= 1 and each.column >= 1 for each in problems)


@given(st.text(alphabet="-:[]{}&*!'\"|>#%@\n \tabpipelinesprojects~<", max_size=120))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_refused_with_a_problem(tmp_path, text):
    with pytest.raises(RefusedError) as refused:
        Layouts(tmp_path).load(text)
    assert has_errors(refused.value.problems)


@pytest.mark.skipif(not REAL.exists(), reason="the real layout lies beside the project, not in it")
def test_a_real_layout_loads_without_a_word(tmp_path):
    text = REAL.read_text(encoding="utf-8")
    (tmp_path / "layout.yaml").write_text(text, encoding="utf-8")
    names = sorted(set(re.findall(r"parameter-function: (\S+)", text)))
    stand_ins = "".join(f"def {name}(item, job, params):\n    pass\n" for name in names)
    (tmp_path / "openstack_functions.py").write_text(stand_ins)
    connections = {"gerrit": "gerrit", "smtp": "smtp"}
    loaded = load_layout(tmp_path / "layout.yaml", connections=connections)
    assert [each for each in loaded.problems if each.level is not Level.NOTE] == []
    layout = loaded.layout
    assert (len(layout.pipelines), len(layout.projects), len(layout.jobs)) == (14, 1638, 10_122)
    assert len(layout.queues["gate"]) == 1427
    assert max(len(each.projects) for each in layout.queues["gate"]) == 87
    joined = load_layout(tmp_path / "layout.yaml", connections=connections, noop_joins_queues=True).layout
    assert len(joined.queues["gate"]) == 874
    assert max(len(each.projects) for each in joined.queues["gate"]) == 554
