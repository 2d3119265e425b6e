"""The flags that a page carries for its JavaScript, in a browser."""

from __future__ import annotations

from pathlib import Path

from django.template import Context, Template

from tests.support.browser import chromium, complaints
from tests.support.documents import publish

PAGE = """<!doctype html><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'nonce-abc'">
{state}
<script nonce="abc">document.title = JSON.parse(document.getElementById("flagsmith-state").textContent).flags.banner_text.value</script>
<script>document.title = "an inline script ran"</script>
"""


def test_a_strict_content_security_policy_lets_the_page_read_it(tmp_path: Path) -> None:
    publish(banner_text="</script>Grüße & 🚀")
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(state=Template('{% load flagsmith %}{% flags_json "banner_text" %}').render(Context())))
    with chromium() as browser:
        browser.get(page.as_uri())
        assert browser.title == "</script>Grüße & 🚀"
        [complaint] = complaints(browser)
        assert "Content Security Policy" in complaint, "of the inline script that is there to be refused"
