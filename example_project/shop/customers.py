"""The customers, who stand for a project's users, and the identity of a request."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from django_flagsmith_realtime import Identity


@dataclass(frozen=True)
class Customer:
    """A user; `plan` is the trait that Flagsmith's segments use."""

    slug: str
    name: str
    plan: str

    @property
    def identity(self) -> Identity:
        """Return the customer as an identity of Flagsmith."""
        return Identity(self.slug, {"plan": self.plan})


CUSTOMERS = (
    Customer("alice", "Alice", "gold"),
    Customer("ben", "Ben", "free"),
    Customer("chloe", "Chloe", "free"),
    Customer("ines", "Ines", "free"),
)
BY_SLUG = {customer.slug: customer for customer in CUSTOMERS}


def current_customer(request: HttpRequest) -> Customer | None:
    """Return the customer who is signed in, or None for a guest."""
    return BY_SLUG.get(request.session.get("customer", ""))


def identify(request: HttpRequest) -> Identity | None:
    """Return the identity that a request's flags are evaluated for; `FLAGSMITH["IDENTITY"]` names this function."""
    customer = current_customer(request)
    return customer.identity if customer else None
