"""Every option of every command is documented, and no other."""

from __future__ import annotations

import argparse
import re
from importlib import import_module
from pathlib import Path

import pytest

from ci_gate.cli.main import COMMANDS, main

TEXT = (Path(__file__).parent.parent.parent / "docs" / "commands.md").read_text(encoding="utf-8")


HELP = {"-h", "--help"}


def section(command):
    _, _, rest = TEXT.partition(f"## ci-gate {command}\n")
    assert rest, f"docs/commands.md has no section on ci-gate {command}"
    return rest.partition("\n## ")[0]


def options(command):
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"ci_gate.cli.{command.replace('-', '_')}").add_arguments(parser)
    return {option for each in parsers(parser) for action in each._actions for option in action.option_strings} - HELP


def parsers(parser):
    """The parser and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from parsers(each)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_a_command_are_those_in_its_table(command):
    rows = [line for line in section(command).splitlines() if line.startswith("| `-")]
    documented = {option for row in rows for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row.split("|")[1])}
    assert documented == options(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_configuration_file(command):
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"ci_gate.cli.{command.replace('-', '_')}").add_arguments(parser)
    for each in parsers(parser):
        options_of_it = {option for action in each._actions for option in action.option_strings}
        only_leads_on = any(isinstance(action, argparse._SubParsersAction) for action in each._actions)
        assert only_leads_on or {"--config", "-c"} <= options_of_it, each.prog


SERVER = ("-c FILE", "-l FILE", "-d")
CLIENT = ("-c FILE", "-v")


@pytest.mark.parametrize(
    ("command", "peers"),
    [
        ("serve", SERVER),
        ("validate", SERVER),
        ("merger", ("-c FILE", "-d")),
        ("enqueue --trigger t --pipeline p --project o --change 1,1", CLIENT),
        ("enqueue-ref --trigger t --pipeline p --project o --ref r", CLIENT),
        ("promote --pipeline p --changes 1,1", CLIENT),
        ("show running-jobs", CLIENT),
    ],
)
def test_a_command_takes_the_options_of_zuuls(command, peers, monkeypatch, capsys):
    name = command.split()[0]
    monkeypatch.setattr(import_module(f"ci_gate.cli.{name.replace('-', '_')}"), "run", lambda _arguments: 0)
    assert main([*command.split(), *" ".join(peers).split()]) == 0
    with pytest.raises(SystemExit) as ended:
        main([name, "--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("ci-gate ")
