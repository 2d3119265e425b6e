"""The system checks: each is raised by settings with one fault, and none by good ones."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.filebased import FileBasedCache
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.test import override_settings
from django.urls import include, path

from django_flagsmith_realtime import checks
from django_flagsmith_realtime.checks.middleware import AUTHENTICATION, FROM_USER, OURS, PANEL
from django_flagsmith_realtime.identity import from_user
from django_flagsmith_realtime.middleware import FlagsmithMiddleware
from django_flagsmith_realtime.storage import backends
from tests.docs.pages import blocks
from tests.support.cases import each_case
from tests.support.documents import close_stores, configured_store, publish
from tests.support.paths import DOCS, ROOT
from tests.support.processes import RedisServer
from tests.unit.storage.test_status import FULL

BACKENDS = "django.core.cache.backends"
GOOD = {"ENVIRONMENT_KEY": "ser.tests"}


def backend(name: str, location: str = "", **options: Any) -> dict[str, Any]:
    return {"BACKEND": f"{BACKENDS}.{name}", "LOCATION": location, "OPTIONS": options}


LOCMEM = backend("locmem.LocMemCache")
REDIS = backend("redis.RedisCache", "redis://127.0.0.1:1", socket_connect_timeout=1, socket_timeout=1)
MEMCACHED = backend("memcached.PyMemcacheCache", "127.0.0.1:1", connect_timeout=1, timeout=1)
DATABASE = backend("db.DatabaseCache", "flags")
DUMMY = backend("dummy.DummyCache")


def messages(setting: Any, cache: Any = REDIS, *, deploy: bool = True, **settings: Any) -> list[CheckMessage]:
    """Return what is said of settings that are good but for those given."""
    settings.setdefault("CACHES", {"default": cache})
    with override_settings(FLAGSMITH=setting, **settings):
        return run_checks(tags=["flagsmith"], include_deployment_checks=deploy)


class FileCache(FileBasedCache):
    """A project's own."""


class EarlyMiddleware(FlagsmithMiddleware):
    """A project's own."""


ALIASES = {"default": LOCMEM}
OWN_FLAGSMITH = {**GOOD, "API_URL": "https://flags.example/api/v1/", "REALTIME_URL": "https://sse.example/"}
POLLED = {**OWN_FLAGSMITH, "REALTIME_URL": None}
SECRET = "a-secret-that-nobody-guesses"
NAMESPACED = (path("own/", include(("django_flagsmith_realtime.urls", "flags"))),)
IDENTIFIED = {**GOOD, "IDENTITY": FROM_USER}
BETWEEN = [OURS, "tests.support.receivers.Middleware", AUTHENTICATION]

# id: the setting, the cache, other settings, and what is said of it
FAULTS: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "W001": ({}, {}, "ENVIRONMENT_KEY", "Create a server-side key"),
    "E002": ({"ENVIRONMENT_KEY": "abc"}, {}, "client-side key", "Create a server-side key"),
    "E003": ({**GOOD, "URL": ""}, {}, "FLAGSMITH['URL']", "API_URL"),
    "E004": ({**GOOD, "API_URL": 3}, {}, "FLAGSMITH['API_URL'] is 3", "an absolute URL"),
    "E005": (["ser.tests"], {}, "list, not a dict", "ENVIRONMENT_KEY"),
    "E006": ({**GOOD, "CACHE": "flags"}, {}, "'flags'", "name one of: default"),
    "E007": (
        {**GOOD, "IDENTITY": "tests.nowhere.ask"},
        {"MIDDLEWARE": [OURS]},
        "No module named 'tests.nowhere'",
        "from_user",
    ),
    "E010": ({**GOOD, "HOOKS": ["tests.nowhere.Hook"]}, {}, "No module named 'tests.nowhere'", "[openfeature]"),
    "E011": (
        {**GOOD, "USAGE": True},
        {"cache": {"BACKEND": f"{__name__}.FileCache", "OPTIONS": {"MAX_ENTRIES": 10_000}}},
        "lose each other's counts",
        "switch USAGE off",
    ),
    "E009": (
        GOOD,
        {"cache": {"BACKEND": "tests.unit.storage.test_cache.AsyncCache"}},
        "no get() that returns a value",
        "aget_flags() works with it",
    ),
    "W023": (
        GOOD,
        {"cache": {**REDIS, "KEY_FUNCTION": "django_tenants.cache.make_key"}},
        "the same for every tenant",
        "a KEY_PREFIX is used",
    ),
    "W002": (GOOD, {"cache": LOCMEM}, "lives in one process", '"LISTENER": "inline"'),
    "W003": ({**GOOD, "LISTENER": "inline"}, {"cache": LOCMEM}, "each process opens its own stream", "Redis"),
    "W004": (GOOD, {"cache": DUMMY}, "keeps nothing", "SILENCED_SYSTEM_CHECKS"),
    "W005": (GOOD, {"cache": DATABASE}, "more than 300", "MAX_ENTRIES"),
    "W006": (
        GOOD,
        {"cache": {"BACKEND": f"{__name__}.FileCache", "OPTIONS": {"MAX_ENTRIES": 10_000}}},
        "two listeners",
        "exactly one listener",
    ),
    "W007": (
        GOOD,
        {"cache": backend("redis.RedisCache", "redis://127.0.0.1:1", socket_timeout=1)},
        "no socket_connect_timeout",
        'Add to CACHES["default"]["OPTIONS"], in seconds: "socket_connect_timeout": 1.',
    ),
    "W008": ({**GOOD, "API_URL": "https://flags.example/"}, {}, "your own (flags.example)", "to None; then a webhook"),
    "W009": ({**OWN_FLAGSMITH, "API_URL": "http://flags.example/"}, {}, "environment key", "Use https"),
    "W010": (IDENTIFIED, {"MIDDLEWARE": [AUTHENTICATION]}, "FlagsmithMiddleware is not in", "at the end"),
    "W011": (IDENTIFIED, {"MIDDLEWARE": [OURS]}, "request.user", AUTHENTICATION),
    "W012": (
        IDENTIFIED,
        {"MIDDLEWARE": BETWEEN},
        "tests.support.receivers.Middleware",
        "below AuthenticationMiddleware",
    ),
    "W020": (
        GOOD,
        {"DEBUG_TOOLBAR_PANELS": [PANEL], "MIDDLEWARE": []},
        "FlagsmithMiddleware is not in MIDDLEWARE",
        "at the end of MIDDLEWARE",
    ),
    "W013": ({**GOOD, "SNAPSHOT_FILE": "flags.json"}, {}, "'flags.json'", 'BASE_DIR / "flags.json"'),
    "W014": ({**GOOD, "SNAPSHOT_FILE": "/nowhere/flags.json"}, {}, "can't be written", "Create the directory /nowhere"),
    "W015": ({"SNAPSHOT_FILE": "/nowhere/flags.json"}, {}, "doesn't exist", '{"flags": {"new_checkout": true'),
    "W018": ({**GOOD, "MAX_STALE": 60}, {}, "polled every 60 s (FALLBACK_POLL_INTERVAL)", "well above"),
    "W019": (
        {**GOOD, "ADMIN_PERMISSION": "auth.see_flags"},
        {},
        "'auth.see_flags', which no model",
        "Correct its name",
    ),
    "I001": (POLLED, {}, "a poll every 60 s", "set WEBHOOK_SECRET"),
    "W024": ({**GOOD, "WEBHOOK_SECRET": "s" * 15}, {}, "fewer than 16 characters", "token_urlsafe"),
    "W025": (
        {**POLLED, "REALTIME_TOKEN": SECRET},
        {"ROOT_URLCONF": (path("", lambda request: None, name="home"),)},
        "no URL of 'flagsmith-queue-change'",
        'include("django_flagsmith_realtime.urls")',
    ),
    "W017": ({**GOOD, "STRICT": True}, {}, "STRICT", "development and tests"),
}
ELSEWHERE = {
    "E008",
    "W016",
    "W021",
    "W022",
    "W026",
}  # take a library that is not there, a file, a status, and a database
DEPLOY = {"W003", "W009", "W016", "W017", "W021", "W024", "W026"}


def named(found: list[CheckMessage]) -> list[str]:
    return [str(message.id).removeprefix("flagsmith.") for message in found]


@each_case(("id", "fault"), FAULTS.items())
def test_one_fault_raises_one_check_with_its_remedy(id: str, fault: tuple[Any, dict[str, Any], str, str]) -> None:
    setting, settings, said, remedy = fault
    [message] = messages(setting, **settings)
    assert named([message]) == [id]
    assert message.is_serious() == id.startswith("E")
    assert said in message.msg
    assert remedy in str(message.hint)
    assert named(messages(setting, **settings, deploy=False)) == ([] if id in DEPLOY else [id])


# Good settings


def shown_settings(page: Path, number: int = 0) -> dict[str, Any]:
    """Return what a page's block for settings.py sets."""
    code = [block.code for block in blocks(page, "python") if block.code.startswith("# settings.py")][number]
    namespace: dict[str, Any] = {"INSTALLED_APPS": [], "MIDDLEWARE": []}
    exec(code.replace("ser.…", "ser.tests"), namespace)
    return namespace


def example_settings() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "example_project/storefront/settings.py"))


SHOWN: dict[str, Callable[[], dict[str, Any]]] = {
    "README": lambda: shown_settings(ROOT / "README.md"),
    "Redis": lambda: shown_settings(DOCS / "howto/caches.md", 0),
    "memcached": lambda: shown_settings(DOCS / "howto/caches.md", 1),
    "database": lambda: shown_settings(DOCS / "howto/caches.md", 2),
    "example project": example_settings,
}


@each_case("read", SHOWN.values())
def test_the_settings_that_we_show_are_silent(read: Any) -> None:
    namespace = read()
    assert messages(namespace["FLAGSMITH"], CACHES=namespace["CACHES"], MIDDLEWARE=namespace["MIDDLEWARE"]) == []


@each_case(
    "cache",
    [
        REDIS,
        backend("redis.RedisCache", "redis://127.0.0.1:1?socket_timeout=1&socket_connect_timeout=1"),
        backend(
            "redis.RedisCache", "redis://127.0.0.1:1", socket_timeout=1, socket_connect_timeout=1, MAX_ENTRIES=None
        ),
        {**REDIS, "LOCATION": ["redis://127.0.0.1:1", "redis://127.0.0.1:2"]},
        MEMCACHED,
        {**DATABASE, "OPTIONS": {"MAX_ENTRIES": 10_000}},
        {**DATABASE, "MAX_ENTRIES": 10_000},
        {"BACKEND": "nowhere.Cache"},  # Django's own error
        {"BACKEND": f"{BACKENDS}.base.memcache_key_warnings"},
    ],
)
def test_a_good_cache_is_silent(cache: dict[str, Any]) -> None:
    assert messages(GOOD, cache) == []


def test_a_database_cache_of_its_own_may_be_small_unless_counts_of_reads_go_there() -> None:
    setting = {**GOOD, "CACHE": "flags"}
    assert messages(setting, CACHES={"default": LOCMEM, "flags": DATABASE}) == []
    found = messages(setting, CACHES={"default": LOCMEM, "flags": DATABASE, "pages": DATABASE})
    found += messages({**setting, "USAGE": True}, CACHES={"default": LOCMEM, "flags": DATABASE})
    assert named(found) == ["W005", "W005"]


def test_a_missing_table_is_a_warning_where_its_database_is_checked(database_cache: dict[str, Any]) -> None:
    def found(databases: list[str] | None) -> list[CheckMessage]:
        return run_checks(tags=["caches"], databases=databases)

    large = {**database_cache, "OPTIONS": {"MAX_ENTRIES": 10_000}}
    with override_settings(CACHES={"default": large}):
        assert found(["cache"]) == []
    with override_settings(CACHES={"default": {**large, "LOCATION": "gone"}}):
        [message] = found(["cache"])
        assert (message.id, message.is_serious()) == ("flagsmith.W022", False)
        assert "no table 'gone'" in message.msg
        assert "createcachetable" in str(message.hint)
        assert found([]) == found(["default"]) == []
    with override_settings(CACHES={"default": large}, FLAGSMITH={**GOOD, "CACHE": "nowhere"}):
        assert found(["cache"]) == []


@each_case(
    ("setting", "settings"),
    [
        (OWN_FLAGSMITH, {}),
        ({**POLLED, "WEBHOOK_SECRET": SECRET}, {}),
        ({**POLLED, "REALTIME_TOKEN": "s" * 16}, {}),
        ({**POLLED, "WEBHOOK_SECRET": SECRET}, {"ROOT_URLCONF": NAMESPACED}),
        ({**GOOD, "REALTIME_URL": None}, {}),
        ({**GOOD, "API_URL": "https://api.flagsmith.com/api/v1/"}, {}),
        ({**GOOD, "API_URL": "http://localhost:8000/", "REALTIME_URL": "http://127.0.0.1:8001/"}, {}),
        ({**GOOD, "API_URL": "http://[::1]:8000/", "REALTIME_URL": "http://[::1]:8001/"}, {}),
        ({**GOOD, "MAX_STALE": 61}, {}),
        ({**OWN_FLAGSMITH, "MAX_STALE": 600}, {}),
        (IDENTIFIED, {"MIDDLEWARE": [AUTHENTICATION, OURS]}),
        (IDENTIFIED, {"MIDDLEWARE": [OURS, "django.middleware.common.CommonMiddleware", AUTHENTICATION]}),
        (IDENTIFIED, {"MIDDLEWARE": [AUTHENTICATION, f"{__name__}.EarlyMiddleware"]}),
        ({**GOOD, "IDENTITY": str}, {"MIDDLEWARE": [OURS]}),
        ({**GOOD, "IDENTITY": None}, {"MIDDLEWARE": [OURS]}),
        ({**GOOD, "IDENTITY": "tests.unit.test_checks.messages"}, {"MIDDLEWARE": [OURS]}),
        (GOOD, {"MIDDLEWARE": BETWEEN}),
        ({**GOOD, "SNAPSHOT_FILE": __file__ + ".json"}, {}),
        ({**GOOD, "ADMIN_PERMISSION": "auth.view_group"}, {}),
        ({**GOOD, "ADMIN_PERMISSION": None}, {}),
    ],
)
def test_good_settings_are_silent(setting: Any, settings: dict[str, Any]) -> None:
    assert messages(setting, **settings) == []


@each_case(
    ("named_callable", "said"),
    [
        ("tests.unit.test_checks.nothing", "'tests.unit.test_checks.nothing'"),
        ("tests.unit.test_checks.GOOD", "not callable"),
        ("alice", "'alice'"),
    ],
)
def test_an_identity_that_cannot_be_called_is_an_error(named_callable: str, said: str) -> None:
    [message] = messages({**GOOD, "IDENTITY": named_callable}, MIDDLEWARE=[OURS])
    assert named([message]) == ["E007"]
    assert said in message.msg


def test_from_user_itself_needs_a_user_as_its_path_does() -> None:
    assert named(messages({**GOOD, "IDENTITY": from_user}, MIDDLEWARE=[OURS])) == ["W011"]


def test_local_memory_is_enough_for_an_inline_listener() -> None:
    assert messages({**GOOD, "LISTENER": "inline"}, LOCMEM, deploy=False) == []


def test_the_checks_say_nothing_twice_of_a_setting_that_can_not_be_read() -> None:
    found = messages({**GOOD, "API_URL": "", "POLL_INTERVAL": -1, "STRICT": "yes"}, LOCMEM)
    assert named(found) == ["E004"] * 3


# One by one


def test_a_client_library_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    for cache, remedy in ((REDIS, "[redis]"), (MEMCACHED, "[memcached]")):
        [message] = messages(GOOD, cache)
        assert named([message]) == ["E008"]
        assert remedy in str(message.hint)


def test_the_timeouts_of_django_redis_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", bool)  # as if it were installed
    for options, ids in [
        ({}, ["W007"]),
        ({"SOCKET_TIMEOUT": 1}, ["W007"]),
        ({"SOCKET_TIMEOUT": 1, "SOCKET_CONNECT_TIMEOUT": 1}, []),
        ({"CONNECTION_POOL_KWARGS": {"socket_timeout": 1, "socket_connect_timeout": 1}}, []),
    ]:
        cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://x", "OPTIONS": options}
        assert named(messages(GOOD, cache)) == ids, options


@each_case("options", [{}, {"timeout": 1}, {"timeout": None, "connect_timeout": 1}])
def test_memcached_without_timeouts_is_a_warning(options: dict[str, Any]) -> None:
    assert named(messages(GOOD, {**MEMCACHED, "OPTIONS": options})) == ["W007"]


def test_a_file_that_everybody_can_read_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text("{}")
    path.chmod(0o640)
    assert messages({**GOOD, "SNAPSHOT_FILE": path}) == []
    path.chmod(0o644)
    [message] = messages({**GOOD, "SNAPSHOT_FILE": path})
    assert named([message]) == ["W016"]
    assert message.hint == f"chmod o-r {path}"
    assert messages({**GOOD, "SNAPSHOT_FILE": path}, deploy=False) == []


def test_what_the_listener_warns_of_is_a_warning(redis_server: RedisServer) -> None:
    cache = redis_server.cache()
    assert messages(GOOD, cache) == []
    with override_settings(FLAGSMITH=GOOD, CACHES={"default": cache}):
        configured_store().write_status(FULL)
        close_stores()
    [message] = messages(GOOD, cache)
    assert named([message]) == ["W021"]
    assert message.msg == "Identity overrides are left out."
    assert "docs/explanation/local-evaluation.md" in str(message.hint)
    assert messages(GOOD, cache, deploy=False) == []
    redis_server.kill()
    assert messages(GOOD, cache) == []


def test_names_of_which_no_page_gets_a_flag_are_a_warning(redis_server: RedisServer) -> None:
    cache = redis_server.cache()
    names = ["banner_text", "planned", "server_only_secret", "typo"]
    setting = {**GOOD, "BROWSER_FLAGS": names, "DEFAULTS": {"planned": True}}
    assert messages(setting, cache) == [], "nobody knows before the first document"
    with override_settings(FLAGSMITH=GOOD, CACHES={"default": cache}):
        publish()
        close_stores()
    found = messages(setting, cache)
    assert named(found) == ["W026", "W026"]
    assert "'server_only_secret', which no page gets: Flagsmith marks it" in found[0].msg
    assert "'typo', which no page gets: neither" in found[1].msg
    assert messages(setting, cache, deploy=False) == messages({**GOOD, "BROWSER_FLAGS": "all"}, cache) == []


def test_flags_for_pages_that_no_url_serves_are_a_warning() -> None:
    setting = {**GOOD, "BROWSER_FLAGS": "all"}
    assert messages(setting) == []
    [message] = messages(setting, ROOT_URLCONF=(path("", include("django_flagsmith_realtime.urls")),))
    assert named([message]) == ["W025"]
    assert 'include("django_flagsmith_realtime.live.urls")' in str(message.hint)


@each_case("setting", [GOOD, {}])
def test_a_directory_as_snapshot_file_is_a_warning(setting: dict[str, str], tmp_path: Path) -> None:
    assert named(messages({**setting, "SNAPSHOT_FILE": tmp_path})) == ["W014" if setting else "W015"]


@each_case("content", ["", '{"flags": 7}', '{"flags": {"a": {"on": true}}}'])
def test_a_snapshot_file_that_is_the_only_source_and_cannot_be_parsed_is_a_warning(
    content: str, tmp_path: Path
) -> None:
    path = tmp_path / "flags.json"
    path.write_text(content)
    message = next(each for each in messages({"SNAPSHOT_FILE": path}) if each.id == "flagsmith.W015")
    assert str(path) in message.msg and "isn't" in message.msg
    assert "W015" not in named(messages({**GOOD, "SNAPSHOT_FILE": path})), "with a key, the listener replaces it"


def test_a_short_lease_says_why_it_is_too_short() -> None:
    [message] = messages({**GOOD, "LEASE_SECONDS": 3})
    assert "at least 8: it must be renewed while the cache is slow" in str(message.hint)


def test_a_hub_that_is_posted_to_in_plain_http_is_a_warning() -> None:
    hub = {"PUBLISH_URL": "http://me:secret@hub.example/publish", "SUBSCRIBE_URL": "/flagsmith/hub"}
    [message] = messages({**GOOD, "HUB": hub})
    assert named([message]) == ["W009"]
    assert "to hub.example can send all open pages" in message.msg


def test_no_check_shows_the_password_of_a_url() -> None:
    for url in ("http://me:PRIVATE@flags.example/", "http://me:PRIVATE@flags.example/?x", "ftp://me:PRI/PRIVATE@x/"):
        found = messages({**GOOD, "API_URL": url})
        assert found
        assert "PRIVATE" not in str(found)


def test_manage_check_has_a_tag_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    with override_settings(FLAGSMITH={**GOOD, "STRICT": True}, CACHES={"default": REDIS}):
        call_command("check", "--tag", "flagsmith", "--deploy")
    assert "flagsmith.W017" in capsys.readouterr().err


# The page


def listed() -> dict[str, str]:
    """Return what the page says of each check: its level, and whether it is one for deployments."""
    rows = re.findall(r"^\| `flagsmith\.(\w+)` \| ([^|]+) \|", (ROOT / "docs/reference/checks.md").read_text(), re.M)
    assert len(rows) == len(dict(rows)), "each is listed once"
    return dict(rows)


def test_the_page_lists_each_check_with_its_level() -> None:
    package = Path(checks.__file__).parent.parent
    source = "".join(path.read_text() for path in package.rglob("*.py"))
    ids = set(re.findall(r'"flagsmith\.([EIW]\d{3})"', source))
    assert listed() == {
        id: {"E": "error", "I": "info", "W": "warning"}[id[0]] + (", deploy" if id in DEPLOY else "")
        for id in sorted(ids)
    }


def test_each_check_has_a_fault_that_raises_it() -> None:
    assert {*FAULTS, *ELSEWHERE} == set(listed())
