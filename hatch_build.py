"""Make what a package index shows of this project: its description and its links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"(!?)\[([^]]*)\]\((?![a-z]+:)([^)]+)\)")


def describe(readme: str, repository: str, tag: str) -> str:
    """Return the README with links to the repository; without a repository, with their texts and without pictures."""

    def replace(link: re.Match[str]) -> str:
        mark, text, path = link.groups()
        if not repository:
            return "" if mark else text
        return f"{mark}[{text}]({repository}/{'raw' if mark else 'blob'}/{tag}/{path})"

    return RELATIVE.sub(replace, readme)


class IndexHook(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        repository, tag = self.config["repository"], metadata["version"]
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": describe(readme, repository, tag)}
        metadata["urls"] = {}
        if repository:
            metadata["urls"] = {
                "Source": repository,
                "Documentation": f"{repository}/blob/{tag}/docs/index.md",
                "Changelog": f"{repository}/blob/{tag}/CHANGELOG.md",
                "Issues": f"{repository}/issues",
            }
