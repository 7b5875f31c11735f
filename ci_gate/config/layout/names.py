"""Names that must be unique in their list, and names of jobs (``spec/layout.md`` 3 and 7)."""

from __future__ import annotations

import re

from ci_gate.config.document import Place
from ci_gate.config.layout.fields import Fields, Key
from ci_gate.config.layout.reader import Reader, shortened

NOT_IN_JOB_NAMES = re.compile(r"[\s:\x00-\x1f\x7f-\x9f]")
BLANK = re.compile(r"\s")


class Names:
    """The names of one list; a second entry of the same name is a problem at its name."""

    def __init__(self, reader: Reader, kind: str) -> None:
        self._reader = reader
        self._kind = kind
        self.known: dict[str, Place] = {}

    def read(self, fields: Fields, key: Key[str]) -> str:
        """The entry's name; empty if it is missing, which is then already reported."""
        name = fields[key]
        if key not in fields:
            return ""
        place = fields.value_place(key)
        if not name:
            self._reader.report("bad-value", place, f'{key.name}: "" is not allowed: a {self._kind} needs a name')
        elif name in self.known:
            line = self.known[name].line
            text = f'{self._kind} "{shortened(name)}" is defined twice; first on line {line}'
            self._reader.report("duplicate-name", place, text)
        else:
            self.known[name] = place
        return name


def why_no_job_name(name: str) -> str | None:
    """What is wrong with a name for a job, or None: Gearman functions cannot carry everything."""
    found = NOT_IN_JOB_NAMES.search(name)
    if found is None:
        return None if name else "it must not be empty"
    if BLANK.match(found.group()):
        return "it must not contain blanks"
    return 'it must not contain ":"' if found.group() == ":" else "it must not contain control characters"


def is_job_name(name: str) -> bool:
    return bool(name) and not name.startswith("^") and NOT_IN_JOB_NAMES.search(name) is None


def report_job_name(reader: Reader, name: str, place: Place, *, about: str | None = None) -> bool:
    """Report what is no name for a job; True if it is one. ``about``: the text in which it is written, where it is
    not written there as it is."""
    why = why_no_job_name(name)
    if why is not None:
        reader.report("bad-job-name", place, f'"{shortened(name)}" is not a job name: {why}', about=about)
    elif name.startswith("^"):
        text = f'"{shortened(name)}" is not allowed; allowed: names of jobs (expressions stand only under `jobs`)'
        reader.report("bad-value", place, text, about=about)
        return False
    return why is None
