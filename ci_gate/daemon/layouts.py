"""Layouts as text and back, for the journal: a restart and a replay decide by the layout that was in force then.

Functions are not part of it. Sets are sorted, so that equal layouts are equal texts, and have equal digests.
"""

from __future__ import annotations

import json
from functools import cache
from hashlib import blake2b
from typing import Any, get_type_hints

from cattrs.converters import Converter
from cattrs.preconf.json import make_converter
from cattrs.strategies import configure_tagged_union

from ci_gate.config.layout.expressions import BadExpressionError, compile_expression
from ci_gate.model.expression import Expression
from ci_gate.model.layout import Job, Layout, Reporter


class UnreadableLayoutError(Exception):
    """A text that no version of this program has written."""


def encode_layout(layout: Layout) -> str:
    return json.dumps(_converter().unstructure(layout, unstructure_as=Layout), default=sorted)


def decode_layout(text: str) -> Layout:
    """Raises UnreadableLayoutError."""
    try:
        return _converter().structure(json.loads(text), Layout)
    except (LookupError, TypeError, ValueError, ExceptionGroup, BadExpressionError) as problem:
        raise UnreadableLayoutError(f"{type(problem).__name__}: {problem}") from problem


def digest_of(text: str) -> str:
    return blake2b(text.encode(), digest_size=32).hexdigest()


@cache
def _converter() -> Converter:
    converter = make_converter(omit_if_default=True, unstruct_collection_overrides={frozenset: sorted})
    converter.register_unstructure_hook(Expression, _encode_expression)
    converter.register_structure_hook(Expression, _decode_expression)
    configure_tagged_union(Reporter, converter)
    _teach_jobs(converter)
    return converter


def _teach_jobs(converter: Converter) -> None:
    """Jobs are tuples with names, whose annotations cattrs does not resolve."""
    kinds, defaults = get_type_hints(Job), Job("")

    def encode(job: Job) -> dict[str, Any]:
        changed = {name: value for name, value in job._asdict().items() if value != getattr(defaults, name)}
        return {name: converter.unstructure(value, unstructure_as=kinds[name]) for name, value in changed.items()}

    def decode(data: dict[str, Any], _: object) -> Job:
        return Job(**{name: converter.structure(value, kinds[name]) for name, value in data.items()})

    converter.register_unstructure_hook(Job, encode)
    converter.register_structure_hook(Job, decode)


def _encode_expression(expression: Expression) -> list[Any]:
    return [expression.source, expression.make_search is not None]


def _decode_expression(data: list[Any], _: object) -> Expression:
    source, for_strangers = data
    return compile_expression(source, for_strangers=for_strangers)
