"""The command `judge`: verdicts over results that were measured elsewhere."""

import argparse
import json
import sys
from inspect import signature

from rich.console import Console

from analysis.outside.question import Question, ask
from analysis.outside.reading import read
from analysis.outside.verdicts import Verdicts, judge_rows
from orchestrator.views.live import say
from trainables.errors import UserError


def judge_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Read results, judge them, show the verdicts, and write figures and tables where asked."""
    question = _question(options)
    verdicts = judge_rows(read(options.files, question.columns), question)
    written = verdicts.write(options.out) if options.out is not None else []
    if options.format == "table":
        say(console, *verdicts.lines())
        if written:
            say(console, f"Written: {options.out}")
    else:
        sys.stdout.write(_as(verdicts, options.format))
    return 0


def _as(verdicts: Verdicts, form: str) -> str:
    if form == "json":
        return json.dumps(verdicts.as_json(), indent=2) + "\n"
    return verdicts.csv() if form == "csv" else verdicts.markdown()


def _question(options: argparse.Namespace) -> Question:
    asked = {name: getattr(options, name) for name in signature(ask).parameters}  # options are called alike
    return ask(**{**asked, "where": tuple(_pair(text) for text in options.where)})


def _pair(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not (column and equals):
        raise UserError(f"--where: expected COLUMN=VALUE; found {text!r}")
    return column, value.strip()
