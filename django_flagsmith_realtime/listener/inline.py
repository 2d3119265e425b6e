"""`"LISTENER": "inline"`: a process that serves requests listens too, from its first request on."""

from __future__ import annotations

import atexit
import logging
import threading
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started

from ..conf import explain, get_config
from ..reading import overrides
from ..storage.announcements import Announcement
from .background import BackgroundListener
from .preconditions import find_inline_problems

logger = logging.getLogger(__name__)

_background = BackgroundListener()
_lock = threading.Lock()
_logged: set[str] = set()


def start_with_first_request() -> None:
    """Wait for the first request: until then a server may fork."""
    request_started.connect(_start, dispatch_uid="flagsmith-inline")


def announce(announcement: Announcement) -> bool:
    """Hand an announcement to the listener of this process; False where there is none, or another one leads."""
    return _background.announce(announcement)


def _start(*, sender: Any, **kwargs: Any) -> None:
    """Start to listen, if that is not done; whatever comes of it, the request goes on."""
    if _background.is_starved:
        _log_once("the listener's thread gets no time to run. Under uWSGI, add --enable-threads.")
    is_server = isinstance(sender, type) and issubclass(sender, (ASGIHandler, WSGIHandler))  # no test client
    if _background.is_started or overrides.are_active() or not is_server:
        return
    try:
        if get_config().listener != "inline":
            return
        if problems := find_inline_problems():
            for problem in problems:
                _log_once(explain(problem))
            return
        with _lock:
            if not _background.is_started:
                _background.start()
                atexit.register(_background.stop)
    except ImproperlyConfigured:  # the first read logs it
        return
    except Exception as error:  # "can't start new thread" under a limit of processes: the next request tries again
        _log_once(f"{type(error).__name__}: {error}.")


def _log_once(reason: str) -> None:
    if reason not in _logged:
        _logged.add(reason)
        logger.error("Nobody listens to Flagsmith: %s", reason)
