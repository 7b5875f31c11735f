"""Python files that a layout includes: run one after the other in one namespace (``spec/layout.md`` 4)."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType, MappingProxyType, TracebackType
from typing import NamedTuple

from yaml.nodes import Node, SequenceNode

from ci_gate.config.document import place_of
from ci_gate.config.layout import schema
from ci_gate.config.layout.fields import read_fields
from ci_gate.config.layout.jobs import JobRules
from ci_gate.config.layout.reader import Reader
from ci_gate.config.nearest import nearest

Function = Callable[..., object]


class Functions(NamedTuple):
    """The functions that the jobs of one loaded layout name, and the files that were run for them, in order."""

    by_name: Mapping[str, Function] = MappingProxyType({})
    files: tuple[Path, ...] = ()


PYTHON_2 = (  # compiled when a file fails, which is seldom
    r"Missing parentheses in call to 'print'|Missing parentheses in call to 'exec'|multiple exception types must be"
    r"|leading zeros in decimal|invalid decimal literal|inconsistent use of tabs|did you mean print"
    r"|'(iteritems|itervalues|iterkeys|has_key)'"
    r"|name '(basestring|unicode|unichr|xrange|raw_input|long|reduce|reload|execfile|file|cmp)'"
    r"|No module named '(urllib2|urlparse|ConfigParser|StringIO|cStringIO|cPickle|httplib|Queue|commands|__builtin__)'"
)
PYTHON_2_LINE = r"^\s*(print\s+[^=(\s]|exec\s+[\"'\w]|except\s+\S+\s*,\s*\w+\s*:|raise\s+\w+\s*,)|<>|`\w"
PYTHON_2_ADVICE = "; the file looks written for Python 2, and functions run on Python 3 here"


class Included(NamedTuple):
    """What python-files left behind. ``complete`` is False if something went wrong, which is then reported: whatever
    is not in ``namespace`` may have been there."""

    namespace: dict[str, object]
    files: tuple[Path, ...] = ()
    complete: bool = True


def read_includes(reader: Reader, node: Node | None, key: Node | None, folder: Path) -> Included:
    """Run the files, in order, in one fresh namespace. ``folder`` is the layout's own."""
    namespace: dict[str, object] = {"__name__": "layout_functions"}
    if node is None:
        return Included(namespace)
    if not isinstance(node, SequenceNode):
        reader.mistyped("includes", "a list of mappings", node, key)
        return Included(namespace, complete=False)
    complete = True
    files = []
    for member in node.value:
        fields = read_fields(reader, member, schema.INCLUDE, "an include")
        if fields is None or schema.PYTHON_FILE not in fields:
            if fields is not None and not fields.entries:
                reader.report("unused", place_of(member), "this include is unused: it names no file")
            else:
                complete = False
            continue
        name = fields[schema.PYTHON_FILE]
        try:
            path = folder / Path(name).expanduser()  # an absolute path stays as it is
        except RuntimeError as problem:  # no such user has a home
            why: str | None = f"{problem} ({folder / name})"
        else:
            why = _run(path, namespace)
            files.append(path)
        if why is not None:
            complete = False
            reader.report("include-failed", fields.value_place(schema.PYTHON_FILE), f"cannot load python-file: {why}")
    return Included(namespace, tuple(files), complete)


def _run(path: Path, namespace: dict[str, object]) -> str | None:
    """Execute one file; None if all went well, else what went wrong and where."""
    try:
        source = path.read_bytes()
    except OSError as problem:
        return f"{problem.strerror or problem} ({path})"
    except ValueError as problem:  # no such text can be a path
        return f"{problem} ({path})"
    try:
        code = compile(source, str(path), "exec")
    except SyntaxError as problem:
        return _described(f"{type(problem).__name__}: {problem.msg}", path, problem.lineno, source)
    except (ValueError, RecursionError, MemoryError) as problem:  # too deep for the compiler
        return f"{error_text(problem)} ({path})"
    return _execute(code, path, namespace, source)


def _execute(code: CodeType, path: Path, namespace: dict[str, object], source: bytes) -> str | None:
    namespace["__file__"] = str(path)
    try:
        # Standard output belongs to the command: it may be JSON.
        with contextlib.redirect_stdout(sys.stderr):
            exec(code, namespace)  # noqa: S102  # operators' own code, which is what an include is
    except (Exception, SystemExit) as problem:  # noqa: BLE001  # it may raise whatever it likes
        return _described(error_text(problem), path, _line(problem.__traceback__, path), source)
    return None


def _line(trace: TracebackType | None, path: Path) -> int | None:
    """The innermost line of the file itself."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def error_text(problem: BaseException) -> str:
    """``KeyError: 'node'``; the text of an operator's own exception may be broken itself."""
    try:
        text = str(problem)
    except Exception:  # noqa: BLE001  # as above
        text = "its text cannot be made"
    return f"{type(problem).__name__}: {text}" if text else type(problem).__name__


def _described(reason: str, path: Path, line: int | None, source: bytes) -> str:
    where = f"{path}:{line}" if line else str(path)
    lines = source.decode("utf-8", "replace").splitlines()
    text = lines[line - 1] if line and line <= len(lines) else ""
    is_syntax = reason.startswith(("SyntaxError", "TabError"))
    old = re.search(PYTHON_2, reason) or (is_syntax and re.search(PYTHON_2_LINE, text))
    return f"{reason} ({where})" + (PYTHON_2_ADVICE if old else "")


def resolve_functions(reader: Reader, rules: JobRules, included: Included) -> Functions:
    """The functions that jobs name; a name that stands for no function is a problem at the name."""
    namespace = included.namespace
    if not included.complete:
        return Functions()  # nothing can be said of them
    found: dict[str, Function] = {}
    for rule in rules.rules:
        name = rule.fields[schema.FUNCTION]
        if not name or name in found:
            continue
        value = namespace.get(name)
        if callable(value):
            found[name] = value
            continue
        place = rule.fields.value_place(schema.FUNCTION)
        if name in namespace:
            text = f'parameter-function "{name}" is not a function: it is of type {type(value).__name__}'
        else:
            callables = [each for each, one in namespace.items() if callable(one) and not each.startswith("__")]
            meant = nearest(name, callables)
            text = f'parameter-function "{name}" is not defined in any included python-file'
            text += f'; did you mean "{meant}"?' if meant else ""
        reader.report("unknown-function", place, text)
    return Functions(found, included.files)
