"""The INI dialect of zuul.conf, with the line of every value (``spec/ci-conf.md`` 2).

It is that of Python 2.7's ConfigParser, which today's differs from: inline ``;`` comments, repeated sections and keys,
lone ``%``, lines that begin with ``rem``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_gate.config.problems import Level, Problem

DEFAULT = "DEFAULT"
DEEPEST_SUBSTITUTION = 10

SECTION = re.compile(r"\[(?P<name>[^]]+)\]")
OPTION = re.compile(r"(?P<key>[^:=\s][^:=]*)\s*[:=]\s*(?P<value>.*)$")
FIELD = re.compile(r"%\(([^)]*)\)s")


@dataclass(frozen=True, slots=True)
class Value:
    text: str
    line: int


@dataclass(slots=True)
class Section:
    """``values`` by key, in lower case. ``line`` is that of its first heading."""

    name: str
    line: int
    values: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Ini:
    """A file as it was read. Sections in order, without ``[DEFAULT]``, whose values are in ``defaults``."""

    sections: dict[str, Section]
    defaults: Mapping[str, Value]
    problems: list[Problem]
    file: str = ""

    def get(self, section: str, key: str) -> Value | None:
        """The value of a section, or else of ``[DEFAULT]`` with the section's own keys in place of its ``%(key)s``.

        What of ``[DEFAULT]`` cannot be filled in for a section that wants it joins the problems.
        """
        found = self.sections.get(section)
        if found is None:
            return None
        if key in found.values or key not in self.defaults:
            return found.values.get(key)
        value = self.defaults[key]
        try:
            return _substituted(value, {**self.defaults, **found.values})
        except _UnfilledError as problem:
            said = Problem(self.file, value.line, 0, Level.ERROR, f"[{section}] {key}: {problem}")
            if said not in self.problems:
                self.problems.append(said)
            return value


def parse(text: str, file: str) -> Ini:
    """Never raises: what cannot be understood is among the problems."""
    reader = _Reader(file)
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        reader.take(number, line)
    return reader.finish()


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        self._sections: dict[str, Section] = {DEFAULT: Section(DEFAULT, 0)}
        self._section: Section | None = None
        self._key: str | None = None

    def take(self, number: int, line: str) -> None:
        if not line.strip() or line[0] in "#;" or re.match(r"rem(\s|$)", line, re.IGNORECASE):
            return
        if line[0].isspace() and self._section is not None and self._key is not None:
            old = self._section.values[self._key]
            self._section.values[self._key] = Value(f"{old.text}\n{line.strip()}", old.line)
        elif heading := SECTION.match(line):
            self._open(heading["name"], number)
        elif self._section is None:
            self._problem(number, Level.ERROR, f"{_shown(line)} stands before the first [section]")
        elif option := OPTION.match(line):
            self._set(option["key"].rstrip().lower(), _without_comment(option["value"]), number)
        else:
            self._problem(number, Level.ERROR, f"{_shown(line)} is neither a [section] nor key=value")

    def finish(self) -> Ini:
        defaults = self._sections.pop(DEFAULT).values
        for section in self._sections.values():
            known = {**defaults, **section.values}
            for key, value in section.values.items():
                try:
                    section.values[key] = _substituted(value, known)
                except _UnfilledError as problem:
                    self._problem(value.line, Level.ERROR, f"[{section.name}] {key}: {problem}")
        self._check(defaults)
        return Ini(self._sections, defaults, self._problems, self._file)

    def _check(self, defaults: Mapping[str, Value]) -> None:
        """Of ``[DEFAULT]``, what no section can fill in is wrong, whether one wants it or not."""
        every = {key: value for section in self._sections.values() for key, value in section.values.items()}
        for key, value in defaults.items():
            try:
                _substituted(value, {**every, **defaults})
            except _UnfilledError as problem:
                self._problem(value.line, Level.ERROR, f"[{DEFAULT}] {key}: {problem}")

    def _open(self, name: str, number: int) -> None:
        self._key = None
        self._section = self._sections.setdefault(name, Section(name, number))

    def _set(self, key: str, text: str, number: int) -> None:
        if self._section is None:
            return
        old = self._section.values.get(key)
        if old is not None:
            text_ = f"[{self._section.name}] {key}: given again; the value on line {old.line} is ignored"
            self._problem(number, Level.NOTICE, text_)
        self._section.values[key] = Value(text, number)
        self._key = key

    def _problem(self, number: int, level: Level, text: str) -> None:
        self._problems.append(Problem(self._file, number, 0, level, text))


class _UnfilledError(Exception):
    """A ``%(key)s`` cannot be replaced; the text says why."""


def _substituted(value: Value, known: Mapping[str, Value]) -> Value:
    """``%(other)s`` by that key's value; only then is ``%%`` a single one. Raises _UnfilledError."""
    text = value.text
    for _ in range(DEEPEST_SUBSTITUTION):
        if "%(" not in text:
            return Value(text, value.line)
        names = [match[1].lower() for match in FIELD.finditer(text)]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            what = f"%({unknown[0]})s names no key" if unknown else "%( is not closed by )s"
            raise _UnfilledError(f"{what} of this section or [DEFAULT]")
        text = FIELD.sub(lambda match: known[match[1].lower()].text, text).replace("%%", "%")
    raise _UnfilledError("%(…)s goes round in circles")


def _shown(line: str) -> str:
    """Its first word: the rest may be a password."""
    first, *rest = re.split(r"(?<=[^\s:=])[\s:=]", line.strip(), maxsplit=1)
    return repr(first + (" …" if rest else ""))


def _without_comment(value: str) -> str:
    """A ``;`` after a blank starts a comment, if it is the first one of the line. ``""`` is the empty text."""
    place = value.find(";")
    if place != -1 and value[place - 1].isspace():
        value = value[:place]
    value = value.strip()
    return "" if value == '""' else value
