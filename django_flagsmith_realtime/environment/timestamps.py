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


def parse_iso(text: str) -> int:
    """Parse ISO 8601, in UTC where it names no zone; raise ValueError for anything else."""
    moment = parse_datetime(text.strip())
    if moment is not None:
        microseconds = (moment.replace(tzinfo=moment.tzinfo or timezone.utc) - EPOCH) // MICROSECOND
        if 0 <= microseconds <= LATEST:
            return microseconds
    raise ValueError(f"not a point in time: {text!r}")


def parse_number(value: int | Decimal | str) -> int:
    """Parse seconds, milliseconds or microseconds, by their size; raise ValueError for anything else."""
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError(f"not a number: {value!r}") from error
    if not number.is_finite() or number < 0:
        raise ValueError(f"not a point in time: {value!r}")
    for bound, factor in UNITS:
        if number < bound:
            return int(number * factor)
    raise ValueError(f"too far in the future: {value!r}")


def parse_time(value: object) -> int:
    """Parse a time in any form that Flagsmith's services use; raise ValueError for anything else."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return parse_number(value)
    if not isinstance(value, str):
        raise ValueError(f"not a point in time: {value!r}")
    try:
        return parse_number(value)
    except ValueError:
        return parse_iso(value)
