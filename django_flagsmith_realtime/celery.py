"""Celery: workers that listen, and one snapshot for each task.

    app.steps["worker"].add(ListenerStep)

lets every worker of an app listen: one of them leads, in a thread of its main process, and the others stand by to take
over when it ends.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.signals import task_postrun, task_prerun, worker_process_shutdown, worker_ready
from django.core.exceptions import ImproperlyConfigured

# A project imports this module before django.setup(), where its LOGGING may silence all loggers that exist by then.
# So what makes loggers is imported in the functions that use it.
if TYPE_CHECKING:
    from .reading.context_decorator import Leave

_entered: dict[tuple[str, int], list[Leave]] = {}  # by task and thread


class ListenerStep(bootsteps.StartStopStep):
    """Listens from when the worker is ready until it stops; for the pools prefork, threads, solo and gevent."""

    # It is stopped before the pool, which may wait for tasks.
    requires: tuple[type[bootsteps.Step] | str, ...] = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        from .listener.background import BackgroundListener

        super().__init__(parent, **options)
        self._background = BackgroundListener()

    def create(self, parent: Any) -> Any:
        """Raise `ImproperlyConfigured` for what can't work, before the worker takes a task."""
        from .conf import explain
        from .listener.preconditions import find_command_problems

        if "eventlet" in parent.pool_cls.__module__:
            raise ImproperlyConfigured(
                "ListenerStep does not run in a worker with the pool eventlet: use gevent, threads, prefork or solo, "
                "or run manage.py flagsmith_listen beside the worker."
            )
        if problems := find_command_problems():
            raise ImproperlyConfigured(explain(problems[0]))
        return self

    def start(self, parent: Any) -> None:
        """Start to listen as soon as the worker is ready."""
        self._worker = parent
        worker_ready.connect(self._start_listener, weak=False, dispatch_uid=f"flagsmith-{id(self)}")

    def stop(self, parent: Any) -> None:
        """Let another worker lead."""
        worker_ready.disconnect(dispatch_uid=f"flagsmith-{id(self)}")
        self._background.stop()

    terminate = stop

    def _start_listener(self, *, sender: Any, **kwargs: Any) -> None:
        if sender.controller is self._worker:  # it is sent again whenever the broker is back
            self._background.start()


@task_prerun.connect
def _enter_scope(*, task_id: str, **kwargs: Any) -> None:
    from .reading.scope import flags_scope

    # An eager task that replaces itself runs the new one inside, under the same id.
    _entered.setdefault((task_id, threading.get_ident()), []).append(flags_scope().enter())


@task_postrun.connect
def _leave_scope(*, task_id: str, **kwargs: Any) -> None:
    key = task_id, threading.get_ident()
    if leaves := _entered.get(key):
        leaves.pop()()
        if not leaves:
            del _entered[key]


@worker_process_shutdown.connect
def _flush_usage(**kwargs: Any) -> None:
    """Do at the end of a process of the pool, which runs no `atexit`, what others do there."""
    from .reading.usage import usage_counter

    usage_counter.flush()
