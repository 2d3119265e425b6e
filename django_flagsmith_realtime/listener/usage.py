"""`USAGE`: reports to Flagsmith, once a minute for the whole deployment, how often each flag was read."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import urljoin

from django.db import connections

from ..exceptions import HttpError, StoreError
from ..storage.store import Store
from ..storage.usage import Usage, UsageBoxes
from .backoff import Backoff
from .event_log import Outage
from .events import BecameLeader, BecameStandby, Event, Tick
from .http import TRANSPORT_ERRORS, HttpClient, check_status, describe
from .sources import KEY_REMEDY, SETTING

logger = logging.getLogger(__name__)

REPORT_SECONDS = 60.0  # Flagsmith's dashboard shows days; the SDK posts six times a minute, from each process
RETRY = Backoff(first=REPORT_SECONDS, limit=900.0, least=1.0)  # meanwhile boxes keep what is counted, for an hour


class UsageReporter:
    """A subscriber of the listener's events. While it leads, a thread a minute does the work, so that no turn waits."""

    def __init__(
        self,
        store: Store,
        *,
        api_url: str,
        environment_key: str,
        timeout: float,
        headers: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._url = urljoin(api_url, "analytics/flags/")
        self._timeout = timeout
        headers = {"Content-Type": "application/json", **headers, "X-Environment-Key": environment_key}
        self._client = HttpClient(headers, setting=SETTING)
        self._clock = clock
        self._outage = Outage(clock)
        self._leads = False
        self._due, self._retry = -float("inf"), RETRY
        self._thread: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Report where that is due."""
        match event:
            case BecameLeader():
                self._leads, self._due = True, self._clock() + REPORT_SECONDS
            case BecameStandby():
                self._leads = False
            case Tick():
                is_due = self._leads and self._clock() >= self._due
                if is_due and not (self._thread and self._thread.is_alive()):
                    self._due = self._clock() + REPORT_SECONDS
                    self._thread = threading.Thread(target=self._run, name="flagsmith-usage-report", daemon=True)
                    self._thread.start()

    def report(self) -> None:
        """Post what all processes have counted. Raise `HttpError` where that fails, and `StoreError`."""
        if self._retry.failures:
            self._post({})  # does Flagsmith answer again? Else the counts stay where they are
        counts = UsageBoxes(self._store.cache).collect()
        if counts:
            now = time.time()
            with suppress(StoreError):
                usage = self._store.read_usage() or Usage(since=now)
                self._store.write_usage(usage.add(counts, now))
            self._post(counts)

    def _run(self) -> None:
        try:
            self.report()
            self._outage.end("Flagsmith usage: works again after %.0f s")
            self._retry = RETRY
        except HttpError as error:
            self._outage.begin("Flagsmith usage: %s Flagsmith doesn't count what was read; trying again.", error)
            delay, self._retry = self._retry.next(floor=error.retry_after or 0.0)
            self._due = self._clock() + delay
        except StoreError:  # which the listener logs
            pass
        except Exception:
            logger.exception("Reporting the usage of flags failed in an unexpected way")
        finally:
            connections.close_all()  # those of this thread, which DatabaseCache opened

    def _post(self, counts: Mapping[str, int]) -> None:
        try:
            with (
                self._client.within(self._timeout, " (FLAGSMITH['REQUEST_TIMEOUT'])"),
                self._client.post(self._url, json.dumps(counts), timeout=self._timeout) as answer,
            ):
                check_status(answer, SETTING, KEY_REMEDY)
        except TRANSPORT_ERRORS as error:
            raise describe(error, self._url, SETTING) from None
