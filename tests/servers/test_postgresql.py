"""Flags in a database cache on PostgreSQL, which aborts a transaction at the first query that fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.paths import ROOT
from tests.support.processes import PostgresServer

PROJECT = """
import django, json, logging, sys
from django.conf import settings
from django.db import connection, transaction

settings.configure(
    DATABASES={"default": json.loads(sys.argv[1])},
    CACHES={"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "flags"}},
    INSTALLED_APPS=["django_flagsmith_realtime"],
    FLAGSMITH={"ENVIRONMENT_KEY": "ser.tests", "FRESHNESS": 0, "DEFAULTS": {"new_checkout": True}},
)
django.setup()
from django.core.management import call_command
from django_flagsmith_realtime import get_flags

def query(sql="SELECT 1"):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def run(server: PostgresServer, script: str) -> str:
    """Run a script in a project of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PROJECT + script, json.dumps(server.database(options="-c lock_timeout=200ms"))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_table_that_is_missing_ends_no_transaction_of_the_project(postgres: PostgresServer) -> None:
    script = """
with transaction.atomic():
    print(get_flags().is_feature_enabled("new_checkout"), query())
    with transaction.atomic():
        print(get_flags().is_feature_enabled("new_checkout"), query())
print(query())
"""
    assert run(postgres, script) == "True (1,)\nTrue (1,)\n(1,)\n"


def test_a_lock_on_the_table_ends_no_transaction_of_the_project(postgres: PostgresServer) -> None:
    script = """
import threading
call_command("createcachetable")
locked, done = threading.Event(), threading.Event()

def lock():
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE flags IN ACCESS EXCLUSIVE MODE")
        locked.set()
        done.wait()
    connection.close()

thread = threading.Thread(target=lock)
thread.start()
locked.wait()
with transaction.atomic():
    print(get_flags().is_feature_enabled("new_checkout"), query())
done.set()
thread.join()
"""
    assert run(postgres, script) == "True (1,)\n"
