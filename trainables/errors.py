"""What a user can put right, told apart from our own mistakes without importing torch."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass


class UserError(Exception):
    """The message says what is wrong and what to do; commands print it without a traceback."""


class Unreadable(Exception):
    """What a program left that is not ours is not what was expected; the message names file and place."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with the input: `file:line  where: message`.

    Line 0 means that it has no line, an empty file that it is on the command line.
    """

    file: str
    line: int
    where: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        said = f"{self.where}: {self.message}" if self.where else self.message
        return f"{place}  {said}" if place else said


def without_echoes(problems: Iterable[Problem], of: Collection[Problem]) -> list[Problem]:
    """The problems but those at places that have one already: a value that could not be read is missing as well."""
    known = {(problem.file, problem.line, problem.where) for problem in of}
    return [problem for problem in problems if (problem.file, problem.line, problem.where) not in known]
