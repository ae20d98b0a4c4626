"""What the contracts share with the tests of single folders."""

import importlib.util
from pathlib import Path

_SOURCE = Path(__file__).parents[1] / "analysis" / "conftest.py"
_spec = importlib.util.spec_from_file_location("studies_of_the_analysis_tests", _SOURCE)
assert _spec is not None
assert _spec.loader is not None
_studies = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_studies)

synthetic = _studies.synthetic
"""Writes a synthetic study into a folder."""
