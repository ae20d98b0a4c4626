"""YAML with line numbers, and without YAML's surprises.

Scalars are read by the core schema of YAML 1.2: `1e-3` is a number, only `true` and `false` are booleans
(`no`, `off`, `yes` and `on` stay text), and `12:30` and dates stay text. A repeated key is a problem.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

Loc = tuple[str | int, ...]
"""A place in a tree of mappings and lists."""


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema; it has no merge key `<<` either."""


_CoreLoader.yaml_implicit_resolvers = {}  # not SafeLoader's, which are those of YAML 1.1
_RESOLVERS = [
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
]
for _tag, _pattern, _first in _RESOLVERS:
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """Decimal whatever the leading zeros; octal and hexadecimal only with their prefixes."""
    text = str(node.value)
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


_CoreLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)


@dataclass
class YamlTree:
    """The content of a document, where each of its values stands, and what is wrong with it as YAML."""

    content: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[tuple[int, str, str]] = field(default_factory=list)
    """(line, dotted place, message)"""

    def line_of(self, loc: Loc) -> int:
        """Line, from 1, of the value at a place or of the nearest thing around it; 0 if there is none."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 0)


def read_yaml(text: str) -> YamlTree:
    """Parse one document. What is wrong is in `problems`; after a syntax error there is no content."""
    tree = YamlTree()
    with _parsing(text, tree) as loader:
        node = loader.get_single_node()
        if node is not None:
            tree.content = _plain(loader, node, (), tree, frozenset())
            tree.lines[()] = node.start_mark.line + 1
    return tree


def dotted(loc: Loc) -> str:
    """`("a", "b", 1)` as `a.b[1]`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@contextmanager
def _parsing(text: str, tree: YamlTree) -> Iterator[_CoreLoader]:
    """A loader for the text; its errors become problems."""
    try:
        loader = _CoreLoader(text)
        try:
            yield loader
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        tree.problems.append((mark.line + 1 if mark else 0, "", f"not YAML: {said}"))
    except yaml.YAMLError as error:
        tree.problems.append((0, "", f"not YAML: {error}"))


def _plain(
    loader: _CoreLoader, node: yaml.Node, loc: Loc, tree: YamlTree, around: frozenset[yaml.Node]
) -> Any:
    """The plain value of a node; `around` are the nodes it is in, one of which an alias could name."""
    if node in around:
        tree.problems.append((node.start_mark.line + 1, dotted(loc), "an alias that contains itself"))
        return None
    if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN_TAGS:
        tree.problems.append(
            (node.start_mark.line + 1, dotted(loc), f"the tag {node.tag} has no meaning here")
        )
    around = around | {node}
    if isinstance(node, yaml.MappingNode):
        return _plain_mapping(loader, node, loc, tree, around)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            tree.lines[(*loc, index)] = item.start_mark.line + 1
        return [_plain(loader, item, (*loc, index), tree, around) for index, item in enumerate(node.value)]
    return loader.construct_object(node)


def _plain_mapping(
    loader: _CoreLoader, node: yaml.MappingNode, loc: Loc, tree: YamlTree, around: frozenset[yaml.Node]
) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = loader.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            written = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
            hint = f"; write '{written}' in quotes" if isinstance(key_node, yaml.ScalarNode) else ""
            tree.problems.append((line, dotted(loc), f"expected a name as key; found {written}{hint}"))
        elif key in content:
            first = tree.lines[(*loc, key)]
            tree.problems.append((line, dotted((*loc, key)), f"repeated key; it is already on line {first}"))
        else:
            tree.lines[(*loc, key)] = line
            content[key] = _plain(loader, value_node, (*loc, key), tree, around)
    return content
