"""Options of Zuul's programs, which the commands in their place take too (outputs.md 8)."""

from __future__ import annotations

import pytest

from ci_gate import __version__
from ci_gate.cli.main import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_the_version(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split()[-1] == __version__


def test_columns_may_be_written_with_blanks_and_capitals(tmp_path, capsys):
    assert main(["show", "running-jobs", "--columns", "Name, worker.name", "-c", str(tmp_path / "none")]) == 1
    assert "unknown column" not in capsys.readouterr().err
