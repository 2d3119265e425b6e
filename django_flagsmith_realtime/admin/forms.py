"""The page's forms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms

from ..environment.traits import InvalidTraits, parse_traits
from ..identity import Identity
from .listing import Listed

STATES: dict[str, tuple[str, Callable[[Listed], object]]] = {
    "": ("All", lambda each: True),
    "on": ("On", lambda each: each.flag.state.enabled),
    "off": ("Off", lambda each: not each.flag.state.enabled),
    "overridden": ("With overrides", lambda each: each.flag.has_overrides),
    "split": ("Split by percentage", lambda each: each.flag.state.variants),
    "changed": ("Changed lately", lambda each: each.last),
}


class FilterForm(forms.Form):
    """Which flags to list; a filter that there is not lists all."""

    q = forms.CharField(
        label="Search", required=False, widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off"})
    )
    state = forms.ChoiceField(
        label="Show", required=False, choices=[(key, label) for key, (label, _) in STATES.items()]
    )

    def select(self, listed: Iterable[Listed]) -> list[Listed]:
        """Return the flags in that state which have each word in their name, value, variants or segments."""
        self.full_clean()
        words = self.cleaned_data.get("q", "").casefold().split()
        _, fits = STATES[self.cleaned_data.get("state", "")]
        return [each for each in listed if fits(each) and all(word in each.flag.text for word in words)]


class IdentityForm(forms.Form):
    """Whom to evaluate the flags for."""

    identifier = forms.CharField(
        max_length=2000,  # as Flagsmith's
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "dir": "auto"}),
    )
    traits = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "cols": None, "spellcheck": "false", "dir": "auto"}),
        help_text='A key=value on each line, such as plan=gold; or a JSON object: {"plan": "gold", "age": 40}.',
    )

    def clean_traits(self) -> dict[str, Any]:
        try:
            return parse_traits(self.cleaned_data["traits"])
        except InvalidTraits as error:
            raise forms.ValidationError(str(error)) from error

    @property
    def identity(self) -> Identity:
        """Whom a valid form names."""
        return Identity(self.cleaned_data["identifier"], self.cleaned_data["traits"])
