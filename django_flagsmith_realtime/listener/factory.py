"""Build the listener and its parts from the settings."""

from __future__ import annotations

import logging
import time
from functools import partial

from ..conf import Config
from ..reading.reader import get_reader
from ..storage.backends import get_backend
from ..storage.lease import Alone, Leadership, Lease, LeaseKeeper
from ..storage.store import Store
from .backoff import FETCH, Backoff
from .event_log import EventLog
from .http import can_connect
from .listener import Listener
from .publisher import Publisher
from .schedule import Budget, Schedule
from .signal_sender import SignalSender
from .sources import ApiSource, FileSource, Source
from .status_tracker import StatusTracker
from .stream import Stream
from .stream_health import NEVER

logger = logging.getLogger("django_flagsmith_realtime.listener.listener")


def build_listener(config: Config) -> Listener:
    """Return a listener for Flagsmith, or for the file that is edited in place of an account there."""
    clock, publisher = time.monotonic, build_publisher(config)
    source = publisher.source
    poll_only, open_stream = None, None
    if source.interval is not None:
        poll_only = f"{source.setting} is the source, read every {source.interval:g} s."
    elif config.realtime_url is None:
        poll_only = f"FLAGSMITH['REALTIME_URL'] is None; a poll every {config.poll_interval:g} s."
    else:
        open_stream = partial(
            Stream, realtime_url=config.realtime_url, timeout=config.stream_timeout, headers=config.headers
        )
    secrets = (config.environment_key, config.stream_key, *config.headers.values())
    status_tracker = StatusTracker(poll_only=poll_only, secrets=secrets, is_billed=source.is_billed)
    return Listener(
        publisher=publisher,
        schedule=_build_schedule(config, source),
        status_tracker=status_tracker,
        subscribers=(EventLog(poll_only=poll_only, clock=clock), status_tracker, SignalSender(clock)),
        open_stream=open_stream,
        stream_key=config.stream_key,
        leadership=_build_leadership(config),
        clock=clock,
    )


def build_publisher(config: Config) -> Publisher:
    """Return a publisher for Flagsmith, or for the file that is edited in place of an account there."""
    source: Source
    path = config.snapshot_file
    if path and not config.environment_key:
        source, path = FileSource(path), None
    else:
        source = ApiSource(
            api_url=config.api_url,
            environment_key=config.environment_key or "",
            timeout=config.request_timeout,
            headers=config.headers,
        )
    return Publisher(
        source=source,
        store=build_store(config),
        freshness=config.freshness,
        snapshot_file=path,
        reader=get_reader(config),
        clock=time.monotonic,
    )


def build_store(config: Config) -> Store:
    """Return the stored snapshot of the configured environment."""
    return Store(config.cache, config.namespace)


def build_lease(config: Config) -> Lease | None:
    """Return the deployment's lease; None where its cache can't carry one."""
    if not get_backend(config.cache).carries_lease:
        return None
    return Lease(config.cache, config.namespace, seconds=config.lease_seconds)


def _build_leadership(config: Config) -> Leadership:
    if lease := build_lease(config):
        return LeaseKeeper(lease, partial(can_connect, config.realtime_url or config.api_url))
    logger.warning(
        "The cache %r can't tell which of several listeners leads: this one leads, and must be the only one. "
        "Redis, memcached and DatabaseCache can.",
        config.cache,
    )
    return Alone()


def _build_schedule(config: Config, source: Source) -> Schedule:
    interval, retry = config.poll_interval, FETCH
    fallback_interval = config.fallback_poll_interval if config.realtime_url else config.poll_interval
    if source.interval is not None:
        interval = fallback_interval = source.interval
        retry = Backoff(first=interval, limit=interval, least=1.0)
    return Schedule(
        poll_interval=interval,
        fallback_poll_interval=fallback_interval,
        budget=Budget() if source.is_billed else Budget(capacity=NEVER),
        retry=retry,
        may_be_behind=source.may_be_behind,
        now=time.monotonic(),
    )
