"""System checks of the file that `FLAGSMITH["SNAPSHOT_FILE"]` names."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from django.core.checks import CheckMessage, Tags, Warning

from ..conf import Config
from ..exceptions import SnapshotFileError
from ..storage.snapshot_file import EXAMPLE, read_snapshot_file
from .registry import checks_config


@checks_config(Tags.files)
def find_relative_path(config: Config) -> Iterator[CheckMessage]:
    """Warn of a relative path, which depends on where a process is started."""
    if config.snapshot_file and not config.snapshot_file.is_absolute():
        yield Warning(
            f"FLAGSMITH['SNAPSHOT_FILE'] is {str(config.snapshot_file)!r}, a relative path: processes that start in "
            "different directories use different files.",
            hint=f'Write the whole path: BASE_DIR / "{config.snapshot_file}".',
            id="flagsmith.W013",
        )


@checks_config(Tags.files)
def find_unusable_file(config: Config) -> Iterator[CheckMessage]:
    """Warn of a file that the listener can't replace, or can't read where it is the source of the flags."""
    path = config.snapshot_file
    if path and config.environment_key and (path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK)):
        yield Warning(
            f"FLAGSMITH['SNAPSHOT_FILE'] can't be written: {path}.",
            hint=f"Create the directory {path.parent} and make it writable for the user that runs the listener."
            if not path.is_dir()
            else "Name a file in that directory.",
            id="flagsmith.W014",
        )
    if path and not config.environment_key:
        try:
            read_snapshot_file(path)
        except SnapshotFileError as error:
            yield Warning(
                f"{error} Without ENVIRONMENT_KEY the flags come from this file.",
                hint=f"Write flags there, for instance {EXAMPLE}, or set ENVIRONMENT_KEY.",
                id="flagsmith.W015",
            )


@checks_config(Tags.files, Tags.security, deploy=True)
def find_public_file(config: Config) -> Iterator[CheckMessage]:
    """Warn of a file that everybody on the machine can read: it has the identities of overrides."""
    path = config.snapshot_file
    if path and path.is_file() and path.stat().st_mode & stat.S_IROTH:
        yield Warning(
            f"FLAGSMITH['SNAPSHOT_FILE'] can be read by everybody on this machine: {path}. It may hold personal data.",
            hint=f"chmod o-r {path}",
            id="flagsmith.W016",
        )
