"""The tests, and the tools that only developers run."""

import sys

from tests.support.paths import EXAMPLE_PROJECT

sys.path.append(str(EXAMPLE_PROJECT))  # for `standin` and `storefront`
