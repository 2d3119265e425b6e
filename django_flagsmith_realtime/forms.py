"""The forms of the admin page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from .identity import Identity
from .overview import FlagRow
from .traits import InvalidTraits, parse_traits

STATES = {
    "": ("All", lambda row: True),
    "on": ("On", lambda row: row.state.enabled),
    "off": ("Off", lambda row: not row.state.enabled),
    "overridden": ("With overrides", lambda row: row.has_overrides),
    "changed": ("Changed lately", lambda row: row.last_change is not None),
}


class FilterForm(forms.Form):
    """Which flags to list; anything that is no filter lists all."""

    q = forms.CharField(
        label="Search flags", required=False, widget=forms.TextInput(attrs={"type": "search", "size": 30})
    )
    state = forms.ChoiceField(
        label="Show", required=False, choices=[(key, label) for key, (label, _) in STATES.items()]
    )

    def select(self, rows: Iterable[FlagRow]) -> list[FlagRow]:
        """Return the rows whose name, value or segments have the text that is searched, in the state."""
        self.full_clean()
        words = self.cleaned_data.get("q", "").casefold().split()
        _, fits = STATES[self.cleaned_data.get("state", "")]
        return [row for row in rows if fits(row) and all(word in _text(row) for word in words)]


class IdentityForm(forms.Form):
    """Whom to evaluate the flags for."""

    identifier = forms.CharField(max_length=2000, strip=False, widget=forms.TextInput(attrs={"size": 30}))
    traits = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 40, "spellcheck": "false"}),
        help_text='A key=value on each line, or a JSON object such as {"plan": "gold"}.',
    )

    def clean_traits(self) -> dict[str, Any]:
        try:
            return parse_traits(self.cleaned_data["traits"])
        except InvalidTraits as error:
            raise forms.ValidationError(str(error)) from error

    @property
    def identity(self) -> Identity:
        """Whom a form that is valid names."""
        return Identity(self.cleaned_data["identifier"], self.cleaned_data["traits"])


def _text(row: FlagRow) -> str:
    return "\n".join((row.name, row.state.value, *(each.name for each in row.segments))).casefold()
