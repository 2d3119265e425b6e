"""Points in time as integers: microseconds since the epoch, in UTC."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation

from django.utils.dateparse import parse_datetime

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)
LATEST = (datetime.max.replace(tzinfo=timezone.utc) - EPOCH) // MICROSECOND

# Flagsmith's stream sends seconds, and its public page shows milliseconds. So a number is in seconds up to the year
# 5138, else in milliseconds, else in microseconds.
UNITS = ((Decimal(10) ** 11, 1_000_000), (Decimal(10) ** 14, 1_000), (Decimal(10) ** 17, 1))


def to_datetime(microseconds: int) -> datetime:
    """Return an aware datetime; for what a datetime can't hold, the nearest that it can."""
    return EPOCH + min(max(microseconds, 0), LATEST) * MICROSECOND


def parse_time(value: object) -> int:
    """Parse a time in any form that Flagsmith's services use; raise ValueError for anything else.

    A number, also as text, is seconds, milliseconds or microseconds, by its size. Other texts are ISO 8601.
    """
    if type(value) not in (int, float, Decimal, str):  # exactly: true is not a number
        raise ValueError(f"not a point in time: {value!r}")
    text = str(value).strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        return _parse_iso(text)
    if number.is_finite() and number >= 0:
        for bound, factor in UNITS:
            if number < bound:
                return int(number * factor)
    raise ValueError(f"not a point in time: {text!r}")


def _parse_iso(text: str) -> int:
    moment = parse_datetime(text)
    if moment is not None:
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        microseconds = (moment - EPOCH) // MICROSECOND
        if 0 <= microseconds <= LATEST:
            return microseconds
    raise ValueError(f"not a point in time: {text!r}")
