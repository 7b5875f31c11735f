"""Values as JSON and back: changes, events, answers, reports. Built on cattrs, by the values' own annotations.

Members of a union carry the name of their class under ``_type``. What is encoded is plain JSON: texts, numbers,
booleans, null, lists, and objects with texts as keys. Equal values are encoded alike: sets are sorted.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from cattrs.converters import Converter
from cattrs.preconf.json import make_converter
from cattrs.strategies import configure_tagged_union

from ci_gate.model.change import Subject, SubjectKey
from ci_gate.model.commands import OperatorCommand
from ci_gate.model.report import Report
from ci_gate.scheduler.effects import Effect

T = TypeVar("T")

UNIONS = (Subject, SubjectKey, Report, OperatorCommand, Effect)


@cache
def _converter() -> Converter:
    """Made when it is needed first: most commands never do."""
    converter = make_converter(unstruct_collection_overrides={set: sorted})
    converter.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)  # JSON as it is
    for union in UNIONS:
        configure_tagged_union(union, converter)
    return converter


def encode(value: object, kind: object) -> Any:
    """``kind`` is the type that the value is declared as: a class, a union, or a collection of such."""
    return _converter().unstructure(value, unstructure_as=kind)


def decode(data: object, kind: type[T]) -> T:
    """Raises what cattrs raises (ExceptionGroup, KeyError, TypeError, ValueError) for data of another shape."""
    return _converter().structure(data, kind)
