"""Options of Zuul's programs, which the commands in their place take too (outputs.md 8)."""

from __future__ import annotations

import pytest

from ci_gate import __version__
from ci_gate.cli.main import COMMANDS, main

CHANGE = ["--trigger", "gerrit", "--pipeline", "check", "--project", "demo/app"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_the_version(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split()[-1] == __version__


@pytest.mark.parametrize(
    "given",
    [
        ["enqueue", *CHANGE, "--change", "1,1"],
        ["enqueue-ref", *CHANGE, "--ref", "master", "--newrev", "1" * 40],
        ["promote", "--pipeline", "gate", "--changes", "1,1"],
        ["show", "running-jobs"],
    ],
)
def test_operators_commands_may_be_asked_to_be_verbose(given, tmp_path, capsys):
    config = tmp_path / "ci.conf"
    config.write_text(
        "[gearman]\nserver=127.0.0.1\n[gerrit]\nserver=review.example.org\nuser=ci\n"
        f"[zuul]\nlayout_config=layout.yaml\nstate_dir={tmp_path}\n"
    )
    assert main([*given, "-v", "-c", str(config)]) == 1
    assert "no service answers" in capsys.readouterr().err


def test_columns_may_be_written_with_blanks_and_capitals(tmp_path, capsys):
    assert main(["show", "running-jobs", "--columns", "Name, worker.name", "-c", str(tmp_path / "none")]) == 1
    assert "unknown column" not in capsys.readouterr().err
