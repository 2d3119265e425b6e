"""The Celery app of the sample project."""

import os

from celery import Celery

from tests.support.celery_project.documentation import documented

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.support.celery_project.settings")

app = Celery("celery_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

if os.environ.get("TEST_LISTENS") == "1":
    exec(documented("celery.py"))
