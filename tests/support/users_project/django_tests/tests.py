from shop_tests.test_cases import *  # noqa: F403
