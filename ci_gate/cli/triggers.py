"""``ci-gate migrate gerrit-trigger``: jobs of the Gerrit Trigger plugin as a layout; and the triggers taken out."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from ci_gate.config.gerrit_trigger import TriggerError, TriggerJob, read_trigger, without_trigger
from ci_gate.config.problems import RefusedError
from ci_gate.config.read_settings import find_settings_file, read_bridge_settings
from ci_gate.config.settings import JenkinsSettings
from ci_gate.config.trigger_layout import layout_of
from ci_gate.jenkins.api import Api
from ci_gate.jenkins.http import Http, JenkinsError
from ci_gate.jenkins.names import DEEPEST, address_of

DONE, REFUSED = 0, 1
BACKUP = "jenkins-backup"

Configs = Mapping[str, str]
"""config.xml by the job's path."""


class SourceError(Exception):
    """The jobs cannot be read; the text says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="where config.xml files are: JENKINS_HOME/jobs"
    )
    parser.add_argument("--config", "-c", metavar="FILE", help="the configuration file with the [jenkins NAME] section")
    parser.add_argument("--jenkins", metavar="NAME", help="read the jobs of this Jenkins instead of a folder's")
    parser.add_argument(
        "--projects", type=Path, metavar="FILE", help="Gerrit's projects, one a line, for jobs with patterns"
    )
    parser.add_argument("--output", "-o", metavar="FILE", default="layout.yaml", help="what to write; - only shows it")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    parser.add_argument(
        "--disable-triggers", action="store_true", help="write nothing; take the trigger out of the Jenkins' jobs"
    )
    parser.add_argument(
        "--backup", type=Path, metavar="FOLDER", default=Path(BACKUP), help="where the jobs are kept as they were"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before jobs are changed")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 done, 1 refused or not all could be read or changed."""
    if (arguments.folder is None) == (arguments.jenkins is None):
        return _refuse("name a FOLDER of config.xml files, or --jenkins NAME")
    try:
        if arguments.disable_triggers:
            return _disable(arguments)
        configs = _of_folder(arguments.folder) if arguments.folder else asyncio.run(_of_jenkins(_section(arguments)))
        projects = arguments.projects.read_text(encoding="utf-8").split("\n") if arguments.projects else []
    except (SourceError, RefusedError, JenkinsError, OSError) as problem:
        return _refuse(str(problem))
    jobs, unread = _triggers(configs)
    layout = layout_of(jobs, [each.strip() for each in projects if each.strip()])
    notes = [*layout.notes, *unread]
    print(f"{len(configs)} jobs, {len(jobs)} with the Gerrit trigger.", file=sys.stderr)
    for name, note in notes:
        print(f"  {name}: {note}", file=sys.stderr)
    status = REFUSED if unread else DONE
    return _write(layout.text, arguments) or status


def _triggers(configs: Configs) -> tuple[list[TriggerJob], list[tuple[str, str]]]:
    """Jobs by their leaf names, as the Gearman plugin offers them, and those that cannot be read."""
    jobs: dict[str, TriggerJob] = {}
    unread = []
    for path, config in sorted(configs.items()):
        name = path.rpartition("/")[2]
        try:
            job = read_trigger(name, config)
        except TriggerError as problem:
            unread.append((path, f"cannot be read: {problem}"))
            continue
        if job is not None and name in jobs:
            unread.append((path, f"left out: another job is called {name}, too"))
        elif job is not None:
            jobs[name] = job
    return list(jobs.values()), unread


def _of_folder(folder: Path) -> Configs:
    """``JENKINS_HOME/jobs``, or any folder with a folder for each job."""
    files = sorted(folder.glob("**/config.xml"))
    if not files:
        raise SourceError(f"{folder} holds no config.xml")
    configs = {}
    for file in files:
        steps = file.parent.relative_to(folder).parts
        path = "/".join(step for step in steps if step != "jobs") or folder.name
        configs[path] = file.read_text(encoding="utf-8", errors="replace")
    return configs


def _section(arguments: argparse.Namespace) -> JenkinsSettings:
    settings, _ = read_bridge_settings(find_settings_file(arguments.config))
    found = next((each for each in settings.jenkins if each.name == arguments.jenkins), None)
    if found is None:
        raise SourceError(
            f"there is no [jenkins {arguments.jenkins}] section in {arguments.config or 'the configuration'}"
        )
    return found


async def _of_jenkins(section: JenkinsSettings) -> Configs:
    http = Http(section)
    try:
        overview = await Api(http, lambda: 0.0).overview(DEEPEST)
        return {
            "/".join(each.path): await http.get_text(f"{address_of(each.path)}/config.xml") for each in overview.jobs
        }
    finally:
        http.close()


def _disable(arguments: argparse.Namespace) -> int:
    if arguments.jenkins is None:
        raise SourceError("--disable-triggers changes jobs of a running Jenkins: name it by --jenkins NAME")
    section = _section(arguments)
    configs = asyncio.run(_of_jenkins(section))
    jobs, _ = _triggers(configs)
    names = {each.name for each in jobs}
    chosen = {path: config for path, config in configs.items() if path.rpartition("/")[2] in names}
    if not chosen:
        print("No job has the trigger.")
        return DONE
    print(f"The Gerrit trigger will be taken out of {len(chosen)} jobs of {section.url}:")
    for path in chosen:
        print(f"  {path}")
    if not arguments.yes and not _confirmed(input):
        print("Nothing was changed.")
        return REFUSED
    _keep(chosen, arguments.backup)
    print(f"Kept as they were in {arguments.backup}")
    return asyncio.run(_take_out(section, chosen))


def _confirmed(ask: Callable[[str], str]) -> bool:
    try:
        return ask("Go on? Type yes: ").strip() == "yes"
    except EOFError:
        return False


def _keep(configs: Configs, folder: Path) -> None:
    """An older copy is never written over. Raises SourceError."""
    for path, config in configs.items():
        file = folder.joinpath(*(quote(step, safe=" ") for step in path.split("/")), "config.xml")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file.open("x", encoding="utf-8") as kept:
                kept.write(config)
                kept.flush()
                os.fsync(kept.fileno())
        except FileExistsError:
            raise SourceError(f"{file} is there already: name another folder with --backup") from None


async def _take_out(section: JenkinsSettings, configs: Configs) -> int:
    http, status = Http(section), DONE
    try:
        for path, config in configs.items():
            try:
                await http.post_xml(f"{address_of(path.split('/'))}/config.xml", without_trigger(config))
            except (JenkinsError, TriggerError) as problem:
                print(f"  {path}: not changed: {problem}", file=sys.stderr)
                status = REFUSED
    finally:
        http.close()
    return status


def _write(text: str, arguments: argparse.Namespace) -> int:
    if arguments.output == "-":
        print(text, end="")
        return DONE
    output = Path(arguments.output)
    try:
        with output.open("w" if arguments.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return _refuse(f"{output} is there already; --force writes over it")
    except OSError as problem:
        return _refuse(f"{output}: {problem.strerror}")
    print(f"Written: {output}; check it by: ci-gate validate {output}")
    return DONE


def _refuse(reason: str) -> int:
    print(f"ci-gate: {reason}", file=sys.stderr)
    return REFUSED
