"""Settings of a project with Celery; tests describe it in the environment."""

import os

from tests.support.celery_project.documentation import documented
from tests.support.project.settings import *  # noqa: F403
from tests.support.project.settings import INSTALLED_APPS as APPS

INSTALLED_APPS = [*APPS, "tests.support.celery_project"]
CELERY_BROKER_URL = os.environ["TEST_BROKER"]
CELERY_RESULT_BACKEND = os.environ["TEST_BROKER"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = True
exec(documented("settings.py").replace("60", "1"))  # of seconds
