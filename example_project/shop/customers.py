"""Who shops: customers stand for accounts, and say whom the flags of a request are evaluated for."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from django_flagsmith_realtime import Identity


@dataclass(frozen=True)
class Customer:
    """Somebody with an account; `plan` is what Flagsmith's segments ask for."""

    slug: str
    name: str
    plan: str

    @property
    def identity(self) -> Identity:
        """Return whom flags are evaluated for."""
        return Identity(self.slug, {"plan": self.plan})


CUSTOMERS = (
    Customer("alice", "Alice", "gold"),
    Customer("ben", "Ben", "free"),
    Customer("chloe", "Chloe", "free"),
    Customer("ines", "Ines", "free"),
)
BY_SLUG = {customer.slug: customer for customer in CUSTOMERS}


def current_customer(request: HttpRequest) -> Customer | None:
    """Return who is signed in."""
    return BY_SLUG.get(request.session.get("customer", ""))


def identify(request: HttpRequest) -> Identity | None:
    """Return whom a request's flags are for: the setting `FLAGSMITH["IDENTITY"]` names this function."""
    customer = current_customer(request)
    return customer.identity if customer else None
