"""A family made of a function alone: its settings are those of a baseline."""

import ast
import hashlib
import inspect
import pickle
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import create_model

from trainables.errors import UserError
from trainables.exchange import Metric
from trainables.family import Family
from trainables.settings import Settings
from trainables.source_code import text_digest
from trainables.wording import expected


class FunctionFamily(Family):
    """What `asyrp_sweep.ablate` trains. It travels to workers as the function itself."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        baseline: Mapping[str, Any],
        axes: Mapping[str, Sequence[Any]],
        metrics: Mapping[str, bool],
        code_digest: str | None = None,
    ) -> None:
        """`metrics` says of each whether higher is better. `code_digest` is for workers, which may lack the source."""
        found = {
            metric: Metric(metric, metric.replace("_", " "), higher_is_better=is_higher)
            for metric, is_higher in metrics.items()
        }
        super().__init__(name, _config(baseline, axes), _called(function, list(baseline)), metrics=found)
        self.code_digest = _digest(function) if code_digest is None else code_digest
        self.recipe = (name, function, dict(baseline), dict(axes), dict(metrics), self.code_digest)
        """What makes an equal one on another machine."""

    def file_text(self) -> str:
        """A file that holds an equal family: the function, what it uses of its module, and that one's imports."""
        name, function, baseline, axes, metrics, _ = self.recipe
        module = inspect.getmodule(function)
        tree = ast.parse(inspect.getsource(module)) if module is not None else ast.parse("")
        imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        sources = [textwrap.dedent(source).strip() for source in reversed(list(_sources(function)))]
        made = f"FAMILY = FunctionFamily({name!r}, {function.__name__}, {baseline!r}, {axes!r}, {metrics!r})"
        own = "from trainables.function_family import FunctionFamily"
        return "\n\n\n".join(["\n".join([*imports, own]), *_constants(function), *sources, made]) + "\n"


def _config(
    baseline: Mapping[str, Any], axes: Mapping[str, Sequence[Any]], prefix: str = ""
) -> type[Settings]:
    """Settings with the baseline's names and values, each of the types that the baseline and its axis have."""
    fields: dict[str, Any] = {}
    for name, value in baseline.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            block = _config(value, axes, f"{path}.")
            fields[name] = (block, block())
        else:
            kinds = dict.fromkeys(type(one) for one in (value, *axes.get(path, ())))
            fields[name] = (
                _union([float if kind is int and float in kinds else kind for kind in kinds]),
                value,
            )
    made: type[Settings] = create_model("Config", __base__=Settings, **fields)
    return made


def _union(kinds: Sequence[Any]) -> Any:
    found = kinds[0]
    for kind in kinds[1:]:
        found = found | kind
    return found


def _called(function: Callable[..., Any], settings: Sequence[str]) -> Callable[..., Any]:
    """The function as a trial calls it: `(config, seed, report)`. Raises UserError where it cannot be called so."""
    try:
        signature = inspect.signature(function)
        names = list(signature.parameters)
    except (TypeError, ValueError) as error:
        raise UserError(f"the parameters of {function!r} cannot be read: {error}") from error
    if "seed" not in names:
        raise UserError(f"the function takes no `seed`; it takes {', '.join(names) or 'nothing'}")
    by_name = ["config"] if names[0] == "config" else settings
    try:
        signature.bind(**dict.fromkeys([*by_name, "seed", *({"report"} & set(names))]))
    except TypeError as error:
        raise UserError(
            f"the function cannot be called with {', '.join(by_name)} and seed: {error}; give the baseline a value for "
            "every argument that the function takes, and for no other"
        ) from error

    def train(config: Settings, seed: int, report: Any) -> Any:
        given: dict[str, Any] = {"seed": seed} | ({"report": report} if "report" in names else {})
        if names[0] == "config":
            return function(config, **given)
        return function(**{name: getattr(config, name) for name in type(config).model_fields}, **given)

    return train


def _digest(function: Callable[..., Any]) -> str:
    """Digest of a function's source and of what it uses of its own module, comments, docstrings and layout left out."""
    texts = [text_digest(textwrap.dedent(source)) for source in _sources(function)]
    closed = [_content(cell.cell_contents) for cell in getattr(function, "__closure__", None) or ()]
    said = "\n".join([*sorted(texts), *_constants(function), *closed])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _content(value: Any) -> str:
    """What tells the content of any object: the digest of its pickle, which is never read."""
    try:
        return hashlib.sha256(pickle.dumps(value)).hexdigest()
    except (pickle.PicklingError, AttributeError, TypeError):
        return repr(value)  # it may name an address: then no earlier result counts, and none is mistaken


def _constants(function: Callable[..., Any]) -> list[str]:
    """`RATE = 0.1` for every constant of its module that a function, and what it calls there, reads by name."""
    module = sys.modules.get(function.__module__)
    names = {
        name for one in _used(function) for name in _names(one) if not name.startswith("__")
    }  # a path, say
    plain = ((name, getattr(module, name, None)) for name in sorted(names))
    return [f"{name} = {value!r}" for name, value in plain if _is_constant(value)]


def _is_constant(value: Any) -> bool:
    """Whether it is a number, a text or a tuple of them. A list may be what a function fills, and says nothing then."""
    return isinstance(value, bool | int | float | str) or (
        type(value) is tuple and all(map(_is_constant, value))
    )


def _sources(function: Callable[..., Any]) -> Iterator[str]:
    """Raises UserError where there is no source to tell one version of the function from another."""
    if not hasattr(function, "__qualname__"):
        raise UserError(f"{expected('a function', function)}; define one with def that calls it")
    if function.__name__ == "<lambda>":
        raise UserError(
            "the source of a lambda cannot be told from what stands beside it in its line, so its results could be "
            "taken for those of another one: define the function with def"
        )
    for one in _used(function):
        try:
            yield inspect.getsource(one)
        except (OSError, TypeError) as error:
            raise UserError(
                f"the source of {one.__qualname__} cannot be read ({error}), so its results could not be told from "
                "those of a changed one: define it in a file or a notebook"
            ) from error


def _used(function: Callable[..., Any]) -> Iterator[Any]:
    """A function, and the functions and classes of its module that it uses."""
    module = sys.modules.get(function.__module__)
    seen: set[int] = set()
    ahead: list[Any] = [function]
    while ahead:
        one = ahead.pop()
        if id(one) in seen:  # not by name: all lambdas have the same
            continue
        seen.add(id(one))
        yield one
        ahead += [
            found
            for name in _names(one)
            if isinstance(found := getattr(module, name, None), types.FunctionType | type)
            and found.__module__ == function.__module__
        ]


def _names(one: Any) -> Iterator[str]:
    """Global names that a function or the methods of a class use."""
    if isinstance(one, type):
        for member in vars(one).values():
            if isinstance(member, types.FunctionType):
                yield from _names(member)
        return
    ahead = [one.__code__]
    while ahead:
        code = ahead.pop()
        yield from code.co_names
        ahead += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
