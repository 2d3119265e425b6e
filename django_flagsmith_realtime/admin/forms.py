"""The forms of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from ..environment.traits import InvalidTraits, parse_traits
from ..identity import Identity

# "flag", a `FlagDescription`, and "last", its last change where that is known; "usage" as text, and the "idle_seconds"
# since it was read.
Row = dict[str, Any]
UNREAD_DAYS = 90  # longer than a release, a season's sale or a quarter's report

STATES: dict[str, tuple[object, Callable[[Row], object]]] = {
    "": (pgettext_lazy("flags", "All"), lambda row: True),
    "on": (pgettext_lazy("flags", "On"), lambda row: row["flag"].state.enabled),
    "off": (pgettext_lazy("flags", "Off"), lambda row: not row["flag"].state.enabled),
    "overridden": (_("With overrides"), lambda row: row["flag"].has_overrides),
    "split": (_("Split by percentage"), lambda row: row["flag"].state.variants),
    "changed": (_("Changed lately"), lambda row: row["last"]),
    "unread": (
        format_lazy(_("Not read for {days} days"), days=UNREAD_DAYS),
        lambda row: row["idle_seconds"] > UNREAD_DAYS * 86_400,
    ),
}


class FilterForm(forms.Form):
    """Which flags to list; an unknown filter is ignored."""

    q = forms.CharField(
        label=_("Search"), required=False, widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off"})
    )
    state = forms.ChoiceField(
        label=pgettext_lazy("flags", "Show"),
        required=False,
        choices=[(key, label) for key, (label, _) in STATES.items()],
    )

    def leave_out(self, state: str) -> None:
        """Don't offer a filter."""
        field: Any = self.fields["state"]
        field.choices = [choice for choice in field.choices if choice[0] != state]

    def select(self, rows: Iterable[Row]) -> list[Row]:
        """Return the flags in the chosen state that have each word in their name, value, variants or segments."""
        self.full_clean()
        words = self.cleaned_data.get("q", "").casefold().split()
        _, matches = STATES[self.cleaned_data.get("state", "")]
        return [row for row in rows if matches(row) and all(word in row["flag"].text for word in words)]


class IdentityForm(forms.Form):
    """The identity to evaluate the flags for."""

    identifier = forms.CharField(
        label=_("Identifier"),
        max_length=2000,  # as Flagsmith's
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "dir": "auto"}),
    )
    traits = forms.CharField(
        label=_("Traits"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "cols": False, "spellcheck": "false", "dir": "auto"}),
        help_text=_('A key=value on each line, such as plan=gold; or a JSON object: {"plan": "gold", "age": 40}.'),
    )

    def clean_traits(self) -> dict[str, Any]:
        try:
            return parse_traits(self.cleaned_data["traits"])
        except InvalidTraits as error:
            raise forms.ValidationError(gettext(error.message), params=error.params) from error

    @property
    def identity(self) -> Identity:
        """The identity of a valid form."""
        return Identity(self.cleaned_data["identifier"], self.cleaned_data["traits"])
