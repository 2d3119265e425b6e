"""The folders that tests name."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLE_PROJECT = ROOT / "example_project"
