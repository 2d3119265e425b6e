"""The same site with Flagsmith's own SDK, whose client each worker makes with its first request."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

from flagsmith import Flagsmith

from tests.fleet.reader import FLAG
from tests.fleet.site import answer


@cache
def client() -> Flagsmith:
    setting = json.loads(os.environ["TEST_FLAGSMITH"])
    return Flagsmith(
        environment_key=setting["ENVIRONMENT_KEY"],
        api_url=setting["API_URL"],
        realtime_api_url=setting["REALTIME_URL"],
        enable_local_evaluation=True,
        enable_realtime_updates=True,
    )


def application(environ: Any, start_response: Any) -> list[bytes]:
    return answer(client().get_environment_flags().get_feature_value(FLAG), start_response)
