"""Tasks that tell what they read."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import shared_task

from django_flagsmith_realtime import Identity, flags_scope, get_flags


@shared_task
def read_banner() -> tuple[int, str]:
    return os.getpid(), get_flags().get_feature_value("banner_text")


@shared_task
def read_together(directory: str, count: int) -> tuple[int, str]:
    """Read once as many processes as that are at it."""
    seen = read_banner()
    Path(directory, str(os.getpid())).touch()
    while len(os.listdir(directory)) < count:
        time.sleep(0.01)
    return seen


@shared_task
def read_twice(begun: str, go_on: str) -> list[str]:
    """Read, say so with one file, wait for the other, and read again."""
    first = get_flags().get_feature_value("banner_text")
    Path(begun).touch()
    while not Path(go_on).exists():
        time.sleep(0.01)
    return [first, get_flags().get_feature_value("banner_text")]


@shared_task
def read_for(identifier: str, plan: str) -> tuple[bool, bool]:
    """Read for an identity, and after it for nobody."""
    with flags_scope(identity=Identity(identifier, {"plan": plan})):
        theirs = get_flags().is_feature_enabled("new_checkout")
    return theirs, get_flags().is_feature_enabled("new_checkout")


@shared_task
def fail_after_a_read() -> None:
    raise ValueError(get_flags().get_feature_value("banner_text"))
