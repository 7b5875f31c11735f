"""Workers install the cloner alone: built from ``deploy/cloner``, run with nothing else there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cloner_site import ENVIRONMENT

from ci_gate import __version__

ROOT = Path(__file__).parent.parent.parent
OTHERS = [each for minor in (10, 12, 13, 14) for each in Path(sys.base_prefix).parent.glob(f"3.{minor}.*/bin/python3")]
"""Other versions of Python that stand beside ours."""
ABSENT = ["aiohttp", "paramiko", "gear", "structlog", "re2", "regex", "yaml", "ci_gate.merger", "ci_gate.cli"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The distribution, built and installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
    options = ["--no-build-isolation", "--no-index", "--target", str(folder), str(ROOT / "deploy" / "cloner")]
    subprocess.run([*command, *options], check=True, timeout=120)
    return folder


def run(python: str, installed: Path, *arguments: str, more: str = "") -> subprocess.CompletedProcess[str]:
    """Without any site-packages but the folder, and ``more``."""
    environment = ENVIRONMENT | {"PYTHONPATH": f"{installed}:{more}"}
    return subprocess.run(
        [python, "-S", *arguments],
        cwd=installed,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_is_tiny_and_has_nothing_of_the_service(installed):
    files = list((installed / "ci_gate").rglob("*.py"))
    assert {each.relative_to(installed / "ci_gate").parts[0] for each in files} == {"__init__.py", "cloner"}
    assert sum(each.stat().st_size for each in files) < 100_000


@pytest.mark.parametrize("name", ABSENT)
def test_nothing_else_is_there(installed, name):
    assert run(sys.executable, installed, "-c", f"import {name}").returncode == 1


@pytest.mark.parametrize("python", [sys.executable, *map(str, OTHERS)])
def test_it_clones(site, installed, python):
    state = site.merged("org/app", "master")
    site.build()
    options = [
        f"--zuul-{name}={site.variables[f'ZUUL_{name.upper()}']}" for name in ("url", "ref", "branch", "project")
    ]
    script = installed / "bin" / "zuul-cloner"
    done = run(
        python, installed, str(script), *options, "--workspace", str(site.workspace), site.base, "org/app", "org/lib"
    )
    assert done.returncode == 0, done.stderr
    assert site.head("org/app") == state
    assert site.head("org/lib") == site.tip("org/lib", "master")


def test_a_map_without_pyyaml_is_an_error_that_says_what_to_install(site, installed):
    (site.folder / "map").write_text("clonemap: []")
    done = run(sys.executable, installed, "-m", "ci_gate.cloner", "-m", str(site.folder / "map"), site.base, "org/app")
    assert done.returncode == 1
    assert "a clone map needs PyYAML" in done.stderr


def test_a_map_needs_pyyaml_alone(site, installed, tmp_path):
    shutil.copytree(Path(yaml.__file__).parent, tmp_path / "only" / "yaml")
    (site.folder / "map").write_text("clonemap: [{name: org/app, dest: here}]")
    arguments = ["-m", "ci_gate.cloner", "--workspace", str(site.workspace), "-m", str(site.folder / "map")]
    done = run(sys.executable, installed, *arguments, site.base, "org/app", more=str(tmp_path / "only"))
    assert done.returncode == 0, done.stderr
    assert (site.workspace / "here" / "master.txt").exists()


def test_its_version_is_that_of_ci_gate(installed):
    done = run(sys.executable, installed, "-m", "ci_gate.cloner", "--version")
    assert done.stdout == f"ci-gate cloner {__version__}\n"
    assert (installed / f"ci_gate_cloner-{__version__}.dist-info").is_dir()
