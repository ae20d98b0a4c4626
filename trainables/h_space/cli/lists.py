"""Lists of what a space of h-spaces can name."""

from collections.abc import Iterator

from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.domains import DomainError, domain_summary, shipped_domains
from trainables.h_space.editors import EDITORS

Rows = Iterator[tuple[str, ...]]


def attributes() -> Rows:
    """Every attribute of the table."""
    for attribute in ATTRIBUTES.values():
        yield attribute.name, attribute.source, attribute.target, attribute.domain


def domains() -> Rows:
    """Every domain of the package, and whether it can be used."""
    for name in shipped_domains():
        try:
            shape = domain_summary(name).shape
            yield name, f"ready; bottleneck {shape.channels} x {shape.height} x {shape.width}"
        except DomainError as error:
            yield name, str(error)


def editors() -> Rows:
    """Every kind of editor, those of plugins too."""
    for kind, settings in EDITORS.items():
        names = [name for name in settings.model_fields if name != "kind"]
        yield kind, (settings.__doc__ or "").strip().splitlines()[0], ", ".join(names)
