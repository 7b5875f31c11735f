"""Where projects go: clone maps, good and bad, and places that collide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cloner_site import git

from ci_gate.cloner.destinations import MapEntry, destinations, read_map
from ci_gate.cloner.errors import ClonerError


@pytest.fixture
def clone_map(site):
    """Writes a map; the option that names it."""

    def write(text: str) -> str:
        (site.folder / "map.yaml").write_text(text)
        return f"--map={site.folder / 'map.yaml'}"

    return write


def places(projects, *entries: tuple[str, str], workspace: str = "/ws") -> dict[str, str]:
    made = [MapEntry(re.compile(name), dest) for name, dest in entries]
    return {each.project: str(each.path) for each in destinations(projects, Path(workspace), made)}


def test_projects_go_where_the_map_says_and_others_by_their_names(site, clone_map):
    option = clone_map("clonemap:\n- name: org/(.*)p\n  dest: apps/\\1-program\n- {name: other, dest: x}\n")
    site.prepared(option, "org/app", "org/lib")
    assert git(site.workspace / "apps/ap-program", "rev-parse", "HEAD") == site.tip("org/app", "master")
    assert git(site.workspace / "org/lib", "rev-parse", "HEAD") == site.tip("org/lib", "master")
    assert not (site.workspace / "org/app").exists()


def test_a_project_may_be_the_workspace_itself_with_others_inside(site, clone_map):
    option = clone_map("clonemap:\n- {name: org/app, dest: '.'}\n- {name: org/lib, dest: plugins/lib}\n")
    (site.workspace).mkdir()
    (site.workspace / "left").write_text("by an earlier job")
    for _ in range(2):
        site.prepared("-m", option.partition("=")[2], "org/app", "org/lib")
        assert git(site.workspace, "rev-parse", "HEAD") == site.tip("org/app", "master")
        assert git(site.workspace / "plugins/lib", "rev-parse", "HEAD") == site.tip("org/lib", "master")
        assert {each.name for each in site.workspace.iterdir()} == {".git", "master.txt", "plugins"}


def test_a_pattern_must_match_the_whole_name():
    assert places(["org/app", "org/app-x"], ("app", "a"), ("org/app", "b")) == {
        "org/app": "/ws/b",
        "org/app-x": "/ws/org/app-x",
    }


def test_groups_are_filled_in():
    assert places(["org/app"], (r"(?P<o>\w+)/(\w+)", r"\2/\g<o>")) == {"org/app": "/ws/app/org"}


def test_places_are_normalised():
    assert places(["org/app"], ("org/app", "a//b/../c/.")) == {"org/app": "/ws/a/c"}
    assert places(["org/app"], ("org/app", "/elsewhere")) == {"org/app": "/elsewhere"}


def test_a_project_that_matches_two_entries_is_an_error_before_anything_is_cloned(site, clone_map):
    option = clone_map("clonemap:\n- {name: org/.*, dest: a}\n- {name: .*/lib, dest: b}\n")
    log = site.refused(option, "org/app", "org/lib")
    assert "org/lib matches more than one entry of the clone map, 'org/.*' and '.*/lib'" in log
    assert not site.workspace.exists()


def test_two_projects_in_one_place_are_an_error_before_anything_is_cloned(site, clone_map):
    option = clone_map("clonemap:\n- {name: org/.*, dest: same}\n")
    assert f"org/app and org/lib would both go to {site.workspace}/same" in site.refused(option, "org/app", "org/lib")
    assert not site.workspace.exists()


def test_two_projects_may_also_meet_by_a_detour():
    with pytest.raises(ClonerError, match="a and b would both go to /ws/b"):
        places(["a", "b"], ("a", "x/../b"))


def test_a_project_named_twice_is_an_error(site):
    assert "org/app and org/app would both go to" in site.refused("org/app", "org/app")


def test_outer_places_come_before_inner_ones_and_else_the_order_stays():
    assert list(places(["c", "a/b/c", "b", "a/b", "a", "a/d"])) == ["c", "a", "a/b", "a/b/c", "b", "a/d"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must be 'clonemap:' with a list"),
        ("- a", "must be 'clonemap:' with a list"),
        ("clonemap: x", "must be 'clonemap:' with a list"),
        ("other: []", "must be 'clonemap:' with a list"),
        ("clonemap: [a]", "entry 1 of the clone map"),
        ("clonemap: [{name: a, dest: b}, {name: a}]", "entry 2 of the clone map"),
        ("clonemap: [{name: 1, dest: b}]", "must have 'name', a regular expression, and 'dest', a path"),
        ("clonemap: [{name: '(', dest: b}]", "'\\(' is no regular expression"),
        ("clonemap: [", "is no YAML"),
        ("clonemap: !!python/name:os.system", "is no YAML"),
        (b"\xff\xfe\xff", "is no YAML"),
    ],
)
def test_what_is_wrong_with_a_map_is_told(tmp_path, text, problem):
    file = tmp_path / "map"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ClonerError, match=problem):
        read_map(file)


def test_a_map_that_is_not_there_is_an_error(site):
    assert "cannot read the clone map nowhere: No such file" in site.refused("--map", "nowhere", "org/app")


def test_a_place_that_does_not_fit_its_pattern_is_an_error():
    with pytest.raises(ClonerError, match="does not fit 'org/app': invalid group reference"):
        places(["org/app"], ("org/app", r"\1"))


def test_an_empty_list_is_a_map_too(tmp_path):
    (tmp_path / "map").write_text("clonemap: []")
    assert read_map(tmp_path / "map") == []
