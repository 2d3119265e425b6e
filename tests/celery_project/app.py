"""The Celery app of the sample project."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.celery_project.settings")

app = Celery("celery_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

from django_flagsmith_realtime.celery import ListenerStep  # noqa: E402

if os.environ.get("TEST_LISTENS") == "1":
    app.steps["worker"].add(ListenerStep)
