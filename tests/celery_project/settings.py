"""Settings of a project with Celery; tests describe it in the environment."""

import os

from ..project_settings import *  # noqa: F403
from ..project_settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "tests.celery_project"]
CELERY_BROKER_URL = os.environ["TEST_BROKER"]
CELERY_RESULT_BACKEND = os.environ["TEST_BROKER"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = True
CELERY_BEAT_SCHEDULE = {
    "flagsmith": {"task": "django_flagsmith_realtime.tasks.refresh_flags", "schedule": 1, "options": {"expires": 1}},
}
