"""What the README says, compared with the code."""

from __future__ import annotations

import re

from tests.docs.test_docs import names_of_tests
from tests.support.cases import each_case
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()
CLAIMS = {
    "Flip a switch and every process sees it within a tenth of a second": (
        "test_middleware.py::TestOneSnapshot::test_the_next_request_sees_the_change",
        "test_web_servers.py::test_the_next_request_under_uvicorn_sees_an_update",
        "test_web_servers.py::test_workers_that_gunicorn_forks_after_preloading_see_each_update",
        "test_celery.py::test_a_change_reaches_all_processes_of_a_worker",
        "test_fork.py::test_children_hold_what_the_parent_held_and_see_later_updates",
    ),
    "One stream, one request per update": (
        "test_fleet.py::test_workers_of_all_hosts_share_one_stream_and_one_request_per_update",
    ),
    "A read never waits on Flagsmith, and fails only if you ask for that": (
        "test_reader.py::TestFailingCache::test_what_is_held_survives_a_redis_that_dies_and_heals_by_itself",
        "test_snapshot_file.py::TestReading::test_a_process_begins_with_the_file_where_the_cache_is_empty_and_only_there",
        "test_api.py::TestUnknownFlags::test_they_are_off_and_logged_once_per_name",
        "test_api.py::TestUnknownFlags::test_strict_raises_and_names_the_remedy",
        "test_imports.py::test_what_reads_cannot_reach_the_network",
    ),
    "A read costs little": (
        "test_cost.py::test_fifty_flags_cost_one_get_within_freshness_nothing_and_no_flag_never_anything",
    ),
    "Open pages and other programs follow": (
        "test_script.py::test_a_page_with_a_strict_policy_gets_one_event_for_each_version",
        "test_ofrep_web.py::test_a_change_is_an_event_of_the_provider",
        "test_flagsmith_js.py::test_it_starts_with_our_flags_and_sees_a_change_without_a_reload",
        "test_clients.py::test_flagsmiths_python_sdk_fetches_once_for_each_change_and_never_reconnects",
        "test_hub.py::test_two_thousand_pages_get_each_change_and_one_that_connects_the_last",
    ),
    "Evaluation is Flagsmith's own": (
        "test_evaluation.py::test_a_thousand_generated_documents_read_as_the_official_sdk_evaluates_them",
    ),
}


@each_case("claim", re.findall(r"^- \*\*(.+?)\*\*", README, re.MULTILINE))
def test_each_claim_has_its_tests(claim: str) -> None:
    assert set(CLAIMS[claim.rstrip(".")]) - names_of_tests() == set()


def test_the_first_flag_is_within_two_screens() -> None:
    before, _, _ = README.partition("## Try it")
    assert before.rstrip().endswith(".")
    assert before.count("\n") <= 2 * 30


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^make ([a-z-]+)$", README, re.MULTILINE)
    assert commands == ["demo", "test"]
    assert all(re.search(rf"^{command}:.*## ", makefile, re.MULTILINE) for command in commands)


def test_the_pictures_are_there() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    assert [picture for picture in pictures if not (ROOT / picture).is_file()] == []
