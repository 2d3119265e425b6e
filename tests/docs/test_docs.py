"""Links between the pages, and what the comparison says."""

from __future__ import annotations

import re
from functools import cache
from os.path import normpath
from pathlib import Path

from tests.docs.pages import PAGES, prose, table
from tests.support.paths import DOCS, ROOT

LINK = re.compile(r"(?<!!)\[[^]]*\]\(([^)\s]+)\)")
INCLUDING = {page for page in PAGES if page.read_text().startswith("```{include}")}  # of the site only


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Links


def target(page: Path, link: str) -> Path:
    """Return the file that a link leads to; `Path.resolve` would ask the disk for each folder above it."""
    path = link.partition("#")[0]
    return Path(normpath(page.parent / path)) if path else page


def leads_somewhere(page: Path, link: str) -> bool:
    if "://" in link:
        return True
    found, anchor = target(page, link), link.partition("#")[2]
    return found.exists() and (not anchor or anchor in anchors(found))


def test_each_link_leads_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in LINK.findall(prose(page))]
    assert [(page.name, link) for page, link in links if not leads_somewhere(page, link)] == []


def test_each_page_can_be_reached_from_the_readme() -> None:
    linked, new = set[Path](), {ROOT / "README.md"}
    while new:
        page = new.pop()
        linked.add(page)
        paths = {target(page, link) for link in LINK.findall(prose(page))}
        new |= {path for path in paths if path.suffix == ".md" and path.exists()} - linked
    assert set(PAGES) - INCLUDING <= linked


# The first page


def test_the_first_page_lists_each_page_once_and_in_the_order_of_the_navigation() -> None:
    lists, *trees = (DOCS / "index.md").read_text().split("```{toctree}")
    listed = {heading: re.findall(r"^- \[[^]]+\]\((.+)\.md\)", text, re.MULTILINE) for heading, text in sections(lists)}
    navigation = dict(re.findall(r"^:caption: (.+)\n\n((?:.+\n)+?)```", "".join(trees), re.MULTILINE))
    assert listed == {caption: pages.split() for caption, pages in navigation.items()}, (
        "docs/index.md: list and toctree"
    )
    pages = [page for section in listed.values() for page in section]
    assert sorted([*pages, "index"]) == sorted(
        str(path.relative_to(DOCS)).removesuffix(".md") for path in DOCS.rglob("*.md")
    )


def sections(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^## (.+)\n((?:(?!## ).*\n)+)", text, re.MULTILINE)


# The comparison

TESTS = {
    "a change reaches every process": (
        "test_listener.py::test_the_flags_are_there_when_it_starts_and_a_change_is_published_with_one_request_each",
        "test_inline.py::test_with_a_webhook_a_server_needs_neither_another_process_nor_a_stream",
        "test_web_servers.py::test_workers_that_gunicorn_forks_after_preloading_see_each_update",
    ),
    "after a fork (gunicorn `--preload`, Celery)": (
        "test_fork.py::test_children_hold_what_the_parent_held_and_see_later_updates",
        "test_web_servers.py::test_workers_that_gunicorn_forks_after_preloading_see_each_update",
    ),
    "the service is down": (
        "test_listener.py::test_what_is_published_stays_while_flagsmith_cannot_be_asked",
        "test_snapshot_file.py::TestReading::test_a_process_begins_with_the_file_where_the_cache_is_empty_and_only_there",
    ),
    "values that aren't booleans": ("test_api.py::TestFlags::test_each_kind_of_value_comes_as_it_is",),
    "targeting": (
        "test_evaluation.py::test_the_recorded_document_reads_as_the_official_sdk_evaluates_it",
        "test_evaluation.py::test_a_thousand_generated_documents_read_as_the_official_sdk_evaluates_them",
        "test_request_identity.py::TestCallable::test_each_way_to_read_asks_each_kind_of_callable_once",
        "test_identity.py::TestFromUser::test_a_page_that_reads_no_flag_does_not_touch_the_session",
    ),
    "flags that depend on flags": ("test_evaluation.py::test_a_flag_may_depend_on_another",),
    "one snapshot for a whole request": (
        "test_middleware.py::TestOneSnapshot::test_all_reads_of_a_sync_view_agree_although_it_changes_meanwhile",
        "test_middleware.py::TestStreaming::test_each_step_sees_what_the_request_saw",
    ),
    "async reads": (
        "test_middleware.py::TestOneSnapshot::test_all_reads_of_an_async_view_agree_although_it_changes_meanwhile",
        "test_evaluation.py::test_an_async_read_is_the_same",
    ),
    "decorator for views": ("test_decorators.py::TestViews::test_do_not_exist_while_it_is_off_or_unknown",),
    "class-based views": (
        "test_mixins.py::test_the_view_runs_while_the_flag_is_on_and_does_not_exist_while_it_is_off",
    ),
    "Django REST framework": (
        "test_rest_framework.py::test_a_view_answers_in_the_frameworks_way_while_the_flag_is_on_and_while_it_is_off",
    ),
    "template tags": ("test_templatetags.py::TestFlag::test_one_of_two_parts_is_rendered",),
    "Jinja2": (
        "test_jinja2.py::TestTag::test_one_of_two_parts_is_rendered",
        "test_jinja2.py::test_an_async_environment_reads_without_blocking_its_loop",
    ),
    "flags for the page's JavaScript": (
        "test_rendering.py::test_named_flags_and_no_others_are_in_the_page",
        "test_rendering.py::test_a_flag_for_servers_only_never_reaches_a_page",
        "test_page_state.py::test_a_strict_content_security_policy_lets_the_page_read_it",
    ),
    "unknown flags": (
        "test_api.py::TestUnknownFlags::test_they_are_off_and_logged_once_per_name",
        "test_api.py::TestUnknownFlags::test_strict_raises_and_names_the_remedy",
    ),
    "tests set flags": (
        "test_test.py::TestWhatIsSeen::test_overrides_are_above_pins_memos_and_identities",
        "test_test.py::TestWhatIsSeen::test_nothing_asks_the_cache_nor_for_the_identity",
    ),
    "signals on a change": (
        "test_publisher.py::test_a_change_sends_flags_updated_and_then_each_flag",
        "test_reader.py::TestSnapshotLoaded::test_it_fires_once_per_adoption_and_tells_what_was_before",
    ),
    "why a flag has its value": ("test_flagsmith_flags.py::test_reasons_of_every_kind_come_up",),
    "health checks": (
        "test_flagsmith_status.py::test_each_problem_has_an_exit_code_which_the_help_names",
        "test_health.py::test_a_healthy_deployment_reads_like_this",
    ),
    "system checks": ("test_checks.py::test_each_check_has_a_fault_that_raises_it",),
}


@cache
def names_of_tests() -> set[str]:
    """Return all tests, as `file.py::Class::test` or `file.py::test`."""
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        name_of_class = ""
        for line in re.finditer(r"^(?:class (\w+)|( *)(?:async )?def (test_\w+))", path.read_text(), re.MULTILINE):
            name_of_class = line[1] or name_of_class
            if line[3]:
                found.add("::".join([path.name, *([name_of_class] if line[2] else []), line[3]]))
    return found


def test_each_cell_of_here_leads_to_its_page_and_has_its_tests() -> None:
    rows = {cells[0]: cells for cells in table(ROOT / "docs/explanation/comparison.md", "feature")}
    assert [name for name, cells in rows.items() if not LINK.search(cells[1]) or len(cells) != 7] == []
    assert rows.keys() == TESTS.keys()
    named = {name for names in TESTS.values() for name in names}
    assert sorted(named - names_of_tests()) == []
