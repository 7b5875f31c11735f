"""How a command ends: at once, with all of its output, and not before what operators' code started."""

from __future__ import annotations

import subprocess
import sys

import pytest

LAYOUT = "includes: [{python-file: functions.py}]\npipelines: []\nprojects: []\n"


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "functions.py").write_text("")
    path = tmp_path / "layout.yaml"
    path.write_text(LAYOUT)
    return path


def validate(layout, *arguments: str, **options):
    command = [sys.executable, "-m", "ci_gate", "validate", str(layout), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_what_an_include_started_is_waited_for(layout):
    (layout.parent / "functions.py").write_text(
        "import atexit, threading\n"
        "atexit.register(lambda: print('at exit'))\n"
        "told = threading.Event()\n"
        "threading.Thread(target=lambda: (told.wait(0.3), print('thread'))).start()\n"
    )
    ended = validate(layout)
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[1:] == ["thread", "at exit"]


def test_all_output_is_out_before_the_process_ends(layout):
    layout.write_text(LAYOUT + "jobs:\n" + "".join(f"  - {{name: job-{number}}}\n" for number in range(5000)))
    ended = validate(layout, "--notes")
    assert len([line for line in ended.stdout.splitlines() if "[unused]" in line]) == 5000
    assert ended.stdout.splitlines()[-1].startswith(f"{layout} is valid")


def test_a_reader_that_has_gone_is_no_matter_for_tracebacks(layout):
    layout.write_text(LAYOUT + "jobs:\n" + "".join(f"  - {{name: job-{number}}}\n" for number in range(5000)))
    command = f"{sys.executable} -m ci_gate validate --notes {layout} | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_full_disk_is_told(layout):
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
        command = [sys.executable, "-m", "ci_gate", "validate", str(layout)]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "ci-gate: cannot write the output: No space left on device\n"
