"""YAML with line numbers, without YAML's surprises, in bounded time and memory.

Scalars are read by the core schema of YAML 1.2: `1e-3` is a number, only `true` and `false` are booleans
(`no`, `off`, `yes` and `on` stay text), and `12:30` and dates stay text. A repeated key is a problem, and so is a
number that is not finite or has more than 64 bits. Merge keys (`<<: *defaults`) work, and top-level keys that begin
with `x-` are left out: they only hold what anchors name.
"""

import codecs
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Loc = tuple[str | int, ...]
"""A place in a tree of mappings and lists."""

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000
"""Most values of a document once its aliases are written out: nested aliases multiply and would fill the memory."""
MAX_DEPTH = 50
MAX_INT = 2**63 - 1

HELPER = "x-"
"""How the top-level keys begin that nothing but anchors and aliases read, as in Docker Compose."""

_TAG = "tag:yaml.org,2002:"
_MERGE, _TEXT = f"{_TAG}merge", f"{_TAG}str"
_FORMS = {
    f"{_TAG}{name}": re.compile(f"(?:{pattern})")
    for name, pattern in {
        "null": r"~|null|Null|NULL|",
        "bool": r"true|True|TRUE|false|False|FALSE",
        "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
        "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "merge": "<<",
    }.items()
}
"""How a plain scalar of each tag is written; the first that fits counts."""

_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Refused(Exception):
    """What is read no further, and where it stands."""

    def __init__(self, line: int, place: str, message: str) -> None:
        """`line` counts from 0, as PyYAML's do."""
        super().__init__(message)
        self.problem = (line + 1, place, message)


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema, which does not follow nesting without end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node. Raises _Refused where it is nested too deep."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Refused(self.line, "", f"expected at most {MAX_DEPTH} levels of nesting")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_CoreLoader.yaml_implicit_resolvers = {}  # not SafeLoader's, which are those of YAML 1.1
for _tag, _pattern in _FORMS.items():
    _CoreLoader.add_implicit_resolver(_tag, re.compile(f"^{_pattern.pattern}$"), None)


class _CoreDumper(yaml.SafeDumper):
    """SafeDumper that quotes what YAML 1.2 would read as another type too, such as the text `1e3`."""


for _tag, _pattern in _FORMS.items():
    _CoreDumper.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern.pattern})$"), None)


@dataclass
class YamlTree:
    """The content of a document, where each of its values stands, and what is wrong with it as YAML."""

    text: str = ""
    content: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[tuple[int, str, str]] = field(default_factory=list)
    """(line, dotted place, message)"""

    def line_of(self, loc: Loc) -> int:
        """Line, from 1, of the value at a place or of the nearest thing around it; 0 if there is none."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 0)

    def depth_of(self, loc: Loc) -> int:
        """How many parts of a place the document has."""
        return next(depth for depth in range(len(loc), -1, -1) if not depth or loc[:depth] in self.lines)


def laid_over(below: Any, above: Any) -> Any:
    """Deep merge; a block of another `kind` replaces the one below, whose settings were not meant for it."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    if "kind" in below and "kind" in above and below["kind"] != above["kind"]:
        return above
    return {
        key: laid_over(below[key], above[key])
        if key in below and key in above
        else above.get(key, below.get(key))
        for key in [*below, *(key for key in above if key not in below)]
    }


def read_yaml_file(path: Path) -> YamlTree:
    """Read a file in UTF-8, or in UTF-16 with a byte order mark. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return YamlTree(problems=[(0, "", f"expected at most {MAX_BYTES // 10**6} MB of YAML; found more")])
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return read_yaml(data.decode("utf-16" if is_wide else "utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"expected UTF-8 text; found the byte 0x{data[error.start]:02x}; save the file as UTF-8"
        return YamlTree(problems=[(line, "", message)])


def read_yaml(text: str) -> YamlTree:
    """Parse one document. What is wrong is in `problems`; after a syntax error there is no content."""
    tree = YamlTree(text)
    if (wrong := _NOT_TEXT.search(text)) is not None:
        line = text.count("\n", 0, wrong.start()) + 1
        tree.problems.append((line, "", _no_text(wrong.group())))
        return tree
    try:
        node = _composed(text)
        if node is not None:
            content = _Builder(tree).plain(node, (), frozenset())
            tree.lines[()] = node.start_mark.line + 1
            tree.content = _without_helpers(content)
    except _Refused as refused:
        tree.problems.append(refused.problem)
    return tree


def write_yaml(content: Mapping[str, Any], *, is_flow: bool | None = None, width: int = 110) -> str:
    """A mapping as YAML that `read_yaml` reads back; `is_flow` for all of it in braces, None for what is small."""
    text: str = yaml.dump(
        dict(content),
        Dumper=_CoreDumper,
        default_flow_style=is_flow,
        width=width,
        sort_keys=False,
        allow_unicode=True,
    )
    return text


def dotted(loc: Loc) -> str:
    """`("a", "b", 1)` as `a.b[1]`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _no_text(letter: str) -> str:
    """What is wrong with a character that no text holds."""
    if letter == "\0":
        return "expected text; found a NUL character; save the file as UTF-8"
    return f"expected text; found the control character U+{ord(letter):04X}; leave it out"


def _without_helpers(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    return {key: value for key, value in content.items() if not key.startswith(HELPER)}


def _composed(text: str) -> yaml.Node | None:
    """The one document of a text as nodes, None where there is none. Raises _Refused where that is no YAML."""
    loader = _CoreLoader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        hint = "; indent with spaces, not with tabs" if "'\\t'" in said else ""
        raise _Refused(mark.line if mark else -1, "", f"not YAML: {said}{hint}") from error
    except (ValueError, OverflowError) as error:  # of an escape such as "\UFFFFFFFF"
        raise _Refused(loader.line, "", "not YAML: an escape that is no character") from error
    finally:
        loader.dispose()


class _Builder:
    """Makes plain values of nodes; what is wrong with them goes into the tree."""

    def __init__(self, tree: YamlTree) -> None:
        self._tree = tree
        self._num_left = MAX_VALUES

    def plain(self, node: yaml.Node, loc: Loc, around: frozenset[yaml.Node]) -> Any:
        """The plain value of a node; `around` are the nodes it is in, one of which an alias could name."""
        if isinstance(node, yaml.ScalarNode):
            self._count(node, loc)
            return self._scalar(node, loc)
        if not self._can_enter(node, loc, around):
            return None
        around = around | {node}
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._tree.lines[(*loc, index)] = item.start_mark.line + 1
            return [self.plain(item, (*loc, index), around) for index, item in enumerate(node.value)]
        content = {}
        for key, (line, value_node) in self._pairs(node, loc, around).items():
            self._tree.lines[(*loc, key)] = line
            content[key] = self.plain(value_node, (*loc, key), around)
        return content

    def _can_enter(self, node: yaml.Node, loc: Loc, around: frozenset[yaml.Node]) -> bool:
        """Whether the inside of a mapping or list can be read. Raises _Refused where there is too much of it."""
        self._count(node, loc)
        if node in around:
            self._problem(node, loc, "an alias that contains itself")
            return False
        if len(around) >= MAX_DEPTH:
            raise _Refused(
                node.start_mark.line, dotted(loc), f"expected at most {MAX_DEPTH} levels of nesting"
            )
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            self._problem(node, loc, _no_tag(node.tag))
        return True

    def _count(self, node: yaml.Node, loc: Loc) -> None:
        self._num_left -= 1
        if self._num_left < 0:
            found = f"expected at most {MAX_VALUES:,} values, with every alias written out; found more"
            raise _Refused(node.start_mark.line, dotted(loc), found)

    def _pairs(
        self, node: yaml.Node, loc: Loc, around: frozenset[yaml.Node]
    ) -> dict[str, tuple[int, yaml.Node]]:
        """Key -> line and value of a mapping: what it merges, and over that its own."""
        merged: dict[str, tuple[int, yaml.Node]] = {}
        own: dict[str, tuple[int, yaml.Node]] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                merged = {**self._merged(value_node, loc, around), **merged}
                continue
            key = self._key(key_node, loc)
            if key in own:
                message = f"repeated key; it is already on line {own[key][0]}"
                self._problem(key_node, (*loc, key), message)
            elif key is not None:
                own[key] = (line, value_node)
        return {**merged, **own}

    def _merged(
        self, node: yaml.Node, loc: Loc, around: frozenset[yaml.Node]
    ) -> dict[str, tuple[int, yaml.Node]]:
        """The pairs of the mapping, or of the mappings, after `<<`; of several that hold a key the first counts."""
        pairs: dict[str, tuple[int, yaml.Node]] = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                self._problem(source, loc, "expected a mapping, or a list of mappings, after <<")
            elif self._can_enter(source, loc, around):
                pairs = {**self._pairs(source, loc, around | {source}), **pairs}
        return pairs

    def _key(self, node: yaml.Node, loc: Loc) -> str | None:
        key = self._scalar(node, loc) if isinstance(node, yaml.ScalarNode) else None
        if isinstance(key, str):
            return key
        written = (node.value or "nothing") if isinstance(node, yaml.ScalarNode) else "a list or mapping"
        hint = f"; write '{node.value}' in quotes" if isinstance(node, yaml.ScalarNode) else ""
        self._problem(node, loc, f"expected a name as key; found {written}{hint}")
        return None

    def _scalar(self, node: yaml.ScalarNode, loc: Loc) -> str | int | float | bool | None:
        """The value of a scalar: None, with the problem noted, where it has none."""
        text = str(node.value)
        if node.tag in (_TEXT, _MERGE):
            return self._text(node, text, loc)
        form = _FORMS.get(node.tag)
        if form is None or not form.fullmatch(text):
            self._problem(node, loc, _no_tag(node.tag))
            return None
        if node.tag == f"{_TAG}null":
            return None
        if node.tag == f"{_TAG}bool":
            return text.lower() == "true"
        return self._number(node, text, loc)

    def _number(self, node: yaml.ScalarNode, text: str, loc: Loc) -> int | float | None:
        """Decimal whatever the leading zeros; octal and hexadecimal only with their prefixes."""
        if node.tag == f"{_TAG}int":
            try:
                number = int(text, 0 if text.startswith(("0o", "0x")) else 10)
            except ValueError:  # thousands of digits
                number = MAX_INT + 1
            if -MAX_INT <= number <= MAX_INT:
                return number
            self._problem(node, loc, f"expected a whole number of at most 64 bits; found {_short(text)}")
            return None
        real = float(text) if text[-1] in "0123456789." else math.nan
        if math.isfinite(real):
            return real + 0.0  # -0.0 is 0.0: the same number has one form
        self._problem(node, loc, f"expected a finite number; found {_short(text)}")
        return None

    def _text(self, node: yaml.ScalarNode, text: str, loc: Loc) -> str | None:
        """A text as written; escapes in double quotes could give letters that no text has."""
        try:  # JSON escapes an emoji as two halves
            text = text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._problem(node, loc, "expected text; found half a character")
            return None
        if (wrong := _NOT_TEXT.search(text)) is None:
            return text
        self._problem(node, loc, _no_text(wrong.group()))
        return None

    def _problem(self, node: yaml.Node, loc: Loc, message: str) -> None:
        self._tree.problems.append((node.start_mark.line + 1, dotted(loc), message))


def _no_tag(tag: str) -> str:
    return f"the tag {tag.replace(_TAG, '!!')} has no meaning here"


def _short(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:17]}... ({len(text)} characters)"
