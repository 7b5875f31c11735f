"""``ci-gate migrate zuul``: an existing site's file as ci.conf."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ci_gate.cli.main import main
from ci_gate.config.read_settings import read_settings

LAYOUT = """pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      timer:
        - time: '0 1 * * *'
projects: []
"""
OLD = """[DEFAULT]
port=29419
[gearman]
server=127.0.0.1
[gearman_server]
start=true
[gerrit]
server=review.example.org
user=ci
[zuul]
layout_config={folder}/layout.yaml
state_dir=/var/lib/zuul
pidfile=/run/zuul.pid
git_dir=/srv/git
zuul_url=http://ci.example.org/p
push_change_refs=true
url_pattern=http://logs/%(user)s/{{job.name}}/50%%
user=x
[launcher]
jenkins_jobs=/x
[jenkins]
server=http://old/
[typo]
x=1
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layout.yaml").write_text(LAYOUT)
    (tmp_path / "zuul.conf").write_text(OLD.format(folder=tmp_path))
    return tmp_path


def test_the_new_file_means_the_same_and_only_its_owner_can_read_it(site, capsys):
    assert main(["migrate", "zuul", "--config", "zuul.conf"]) == 0
    before, _ = read_settings(site / "zuul.conf")
    after, problems = read_settings(site / "ci.conf")
    assert replace(after, path=before.path, pidfile=before.pidfile) == before
    assert not problems
    assert Path("ci.conf").stat().st_mode & 0o777 == 0o600
    text = (site / "ci.conf").read_text()
    assert "[merger]\ngit_dir=/srv/git" in text
    assert "[launcher]" not in text


def test_what_is_left_out_and_what_is_to_be_done_is_told(site, capsys):
    main(["migrate", "zuul", "--config", "zuul.conf"])
    said = capsys.readouterr().out
    for each in ("[launcher]", "[jenkins]", "[typo]", "[zuul] pidfile", "push_change_refs", "stop zuul-merger"):
        assert each in said
    assert said.index("Left out:") < said.index("[typo]") < said.index("To do:") < said.index("stop zuul-merger")


def test_a_file_that_is_there_is_not_written_over_unless_told(site, capsys):
    (site / "ci.conf").write_text("mine")
    assert main(["migrate", "zuul", "--config", "zuul.conf"]) == 1
    assert (site / "ci.conf").read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert main(["migrate", "zuul", "--config", "zuul.conf", "--force"]) == 0


def test_a_layout_with_errors_writes_nothing(site, capsys):
    (site / "layout.yaml").write_text("pipelines:\n  - nam: check\n")
    assert main(["migrate", "zuul", "--config", "zuul.conf"]) == 1
    assert not (site / "ci.conf").exists()
    assert "layout.yaml:2" in capsys.readouterr().err
