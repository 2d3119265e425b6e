"""A project whose tasks read flags and whose workers listen, laid out as Celery's documentation has it."""

from tests.support.celery_project.app import app as celery_app

__all__ = ["celery_app"]
