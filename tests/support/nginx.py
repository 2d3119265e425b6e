"""nginx with nchan, set up as docs/howto/hub.md says."""

from __future__ import annotations

import http.client
from contextlib import closing, suppress
from pathlib import Path

from tests.docs.pages import blocks
from tests.support.paths import DOCS
from tests.support.processes import ServerProcess, miss

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")  # Debian's
PUBLISH, SUBSCRIBE = "/flagsmith/hub/publish", "/flagsmith/hub"
# One process, so that it can be killed and frozen as a whole.
CONFIGURATION = """
load_module {module};
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr warn;
worker_rlimit_nofile {connections};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {http}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {server}
    }}
}}
"""
CACHING = """
location / {{
    proxy_pass http://127.0.0.1:{site};
    proxy_set_header Host $http_host;
    proxy_cache pages;
    proxy_cache_methods GET HEAD POST;
    proxy_cache_key $request_method$request_uri;
    proxy_cache_valid any 10m;
    add_header X-Cache $upstream_cache_status always;
}}
"""


def snippets() -> list[str]:
    """Return the pieces of configuration on the page: locations, Redis, the limit, and the location that it is for."""
    return [block.code for block in blocks(DOCS / "howto/hub.md", "nginx")]


class Nginx(ServerProcess):
    """An nginx that is a hub. `redis`: the port of the one that keeps its messages.

    `site`: the port to which it passes requests for flags, so many in a second.
    """

    program = "nginx"

    def __init__(self, *, redis: int | None = None, site: int | None = None, rate: int = 500) -> None:
        if not MODULE.exists():
            miss("nchan")
        super().__init__()
        self._server, upstream, zone, location = snippets()
        self._http = ""
        if site:
            self._http = zone.replace("rate=500", f"rate={rate}")
            self._server += location.replace("//django", f"//127.0.0.1:{site}")
        if redis:
            self._http = upstream.replace("6379", str(redis))
            channel = "nchan_channel_id flagsmith;"
            self._server = self._server.replace(channel, f"{channel}\nnchan_redis_pass flagsmith_hub;")

    def command(self) -> list[str]:
        configuration = self.directory / "nginx.conf"
        values = {"directory": self.directory, "connections": 4_096, "port": self.port, "module": MODULE}
        configuration.write_text(CONFIGURATION.format(**values, http=self._http, server=self._server))
        return [self.path, "-e", "stderr", "-c", str(configuration)]

    def answers(self) -> bool:
        try:
            return self._request("GET") in (200, 404)  # 404: nothing was posted yet
        except OSError:
            return False

    @property
    def setting(self) -> dict[str, str]:
        """`HUB` of who posts to it."""
        return {"PUBLISH_URL": f"http://127.0.0.1:{self.port}{PUBLISH}", "SUBSCRIBE_URL": SUBSCRIBE}

    def post(self, message: str) -> int:
        """Post a message; return the status of the answer."""
        return self._request("POST", message)

    def _request(self, method: str, message: str | None = None) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request(method, PUBLISH, message)
            return connection.getresponse().status


class CachingProxy(Nginx):
    """An nginx in front of a site that keeps every answer that it may keep, for all visitors alike.

    `X-Cache` says whether an answer came from there: HIT or not.
    """

    def __init__(self, site: int) -> None:
        super().__init__()
        self._http = f"proxy_cache_path {self.directory}/cache keys_zone=pages:1m;"
        self._server = CACHING.format(site=site)

    def answers(self) -> bool:
        with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", "/none/")
            return connection.getresponse().status == 200
        return False
