"""The same classes for Django's own runner, for which these lines do what the plugin does for pytest."""

import sockets

from django_flagsmith_realtime.test import override_flags

sockets.block()
override_flags().enable()
