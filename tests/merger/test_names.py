"""Names from outside that must not become paths or refs (merger.md 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_gate.merger.names import UnsafeNameError, is_build_set, is_change_ref, is_ref, published_ref, repository_path


@pytest.mark.parametrize("project", ["demo", "demo/app", "a/b/c/d", "with blank/ä", "app.git", "-dash", "a.b"])
def test_a_project_has_its_repository_below_the_git_directory(tmp_path, project):
    assert repository_path(tmp_path, project) == tmp_path / project / ".git"


@pytest.mark.parametrize(
    "project",
    [
        "",
        "/",
        "/etc",
        "..",
        "a/..",
        "../a",
        "a//b",
        "a/",
        "./a",
        "a/.git",
        "a/.GIT/b",
        "a\\b",
        "a\nb",
        "a\0b",
        ".ci-gate",
        "x" * 256,
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, project):
    with pytest.raises(UnsafeNameError):
        repository_path(tmp_path, project)


def test_a_link_that_leads_out_is_refused(tmp_path):
    (tmp_path / "git").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "git" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeNameError, match="leads out"):
        repository_path(tmp_path / "git", "link")


@given(project=st.text(max_size=40))
def test_whatever_the_name_it_stays_below_or_is_refused(tmp_path_factory, project):
    root = tmp_path_factory.getbasetemp()
    try:
        path = repository_path(root, project)
    except UnsafeNameError:
        return
    assert path.resolve().is_relative_to(root.resolve())


@pytest.mark.parametrize("name", ["master", "stable/2026.1", "feature/ä", "a-b_c"])
def test_usual_branches_are_refs(name):
    assert is_ref(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "a..b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a.lock",
        ".a",
        "a/",
        "/a",
        "a@{1}",
        "a//b",
        "a.",
    ],
)
def test_what_git_or_a_shell_would_misread_is_no_ref(name):
    assert not is_ref(name)


def test_refs_of_changes_and_build_sets_have_their_shapes():
    assert is_change_ref("refs/changes/01/1/1")
    assert not is_change_ref("refs/heads/master")
    assert not is_change_ref("refs/changes/01/1/1 --upload-pack=x")
    assert is_build_set("Z" + "0f" * 16)
    assert not is_build_set("../Z")
    assert published_ref("stable/x", "Zab") == "refs/zuul/stable/x/Zab"
