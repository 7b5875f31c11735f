"""``tree`` of Jenkins' remote API: what an answer is cut down to. Used by ``jenkins_rest.py``."""

from __future__ import annotations

import re
from typing import Any

TOKEN = re.compile(r"[\w_]+|[\[\],]|\{\d*,\d*\}")

Tree = dict[str, "tuple[Tree, slice]"]


def pruned(value: Any, tree: str) -> Any:
    """Raises ValueError for a tree that cannot be read. Without a tree nothing is cut."""
    if not tree:
        return value
    tokens = TOKEN.findall(tree)
    if "".join(tokens) != tree:
        raise ValueError(f"tree={tree}")
    wanted = _read(tokens)
    if tokens:
        raise ValueError(f"tree={tree}")
    return _cut(value, wanted)


def _read(tokens: list[str]) -> Tree:
    """Up to the closing bracket, which is left."""
    tree: Tree = {}
    while tokens and tokens[0] != "]":
        name, inner, part = tokens.pop(0), Tree(), slice(None)
        if tokens and tokens[0] == "[":
            tokens.pop(0)
            inner = _read(tokens)
            tokens.pop(0)
        if tokens and tokens[0].startswith("{"):
            first, last = tokens.pop(0)[1:-1].split(",")
            part = slice(int(first or 0), int(last) if last else None)
        if tokens and tokens[0] == ",":
            tokens.pop(0)
        tree[name] = (inner, part)
    return tree


def _cut(value: Any, tree: Tree) -> Any:
    if isinstance(value, list):
        return [_cut(each, tree) for each in value]
    if not isinstance(value, dict):
        return value
    cut = {}
    for name, (inner, part) in tree.items():
        if name in value:
            below = value[name][part] if isinstance(value[name], list) else value[name]
            cut[name] = _cut(below, inner) if inner else below
    return cut | ({"_class": value["_class"]} if "_class" in value else {})
