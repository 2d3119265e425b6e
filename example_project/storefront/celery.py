"""The Celery application of the example project; one of its workers listens to Flagsmith."""

import os

from celery import Celery

from django_flagsmith_realtime.celery import ListenerStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "storefront.settings")
app = Celery("storefront")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(ListenerStep)
