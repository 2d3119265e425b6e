"""What joins the hosts: network namespaces where they are permitted, else proxies."""

from __future__ import annotations

import sys
from typing import TypeAlias

from tests.fleet.links import Links
from tests.fleet.namespaces import Namespaces, NotPermitted

HOSTS = ("a", "b")
REDIS, FLAGSMITH = "redis", "flagsmith"
PLACES = (*HOSTS, REDIS, FLAGSMITH)
Network: TypeAlias = Namespaces | Links


def open_network() -> Network:
    """Return the hosts and what joins them; say so where they can't be hosts of their own."""
    try:
        return Namespaces(*PLACES)
    except NotPermitted as error:
        print(f"No network namespaces ({error}): a proxy stands in for each link.", file=sys.stderr)
        return Links(*PLACES)
