"""A basket: product slugs and how many of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .catalog import BY_SLUG, Product

START: Mapping[str, int] = {"lamp": 1, "mug": 2}


@dataclass(frozen=True)
class Line:
    """One product in the basket."""

    product: Product
    quantity: int

    @property
    def total(self) -> int:
        """Return the line's price in euros."""
        return self.product.price * self.quantity


@dataclass(frozen=True)
class Basket:
    """The products in a customer's basket, at most `limit` items."""

    lines: tuple[Line, ...]
    limit: int

    @property
    def count(self) -> int:
        """Return the number of items."""
        return sum(line.quantity for line in self.lines)

    @property
    def total(self) -> int:
        """Return the price of everything in euros."""
        return sum(line.total for line in self.lines)

    @property
    def is_full(self) -> bool:
        """Return whether nothing more may be added."""
        return self.count >= self.limit

    @property
    def is_over(self) -> bool:
        """Return whether the limit was lowered below what is in the basket."""
        return self.count > self.limit


def read(quantities: Mapping[str, int], limit: int) -> Basket:
    """Return the basket that the session's quantities describe."""
    lines = (Line(BY_SLUG[slug], quantity) for slug, quantity in quantities.items() if slug in BY_SLUG)
    return Basket(tuple(lines), limit)


def changed(quantities: Mapping[str, int], slug: str, by: int, limit: int) -> dict[str, int]:
    """Return the quantities with `by` more of one product, or fewer; unchanged where the limit forbids it."""
    if slug not in BY_SLUG or (by > 0 and read(quantities, limit).count + by > limit):
        return dict(quantities)
    after = {**quantities, slug: quantities.get(slug, 0) + by}
    return {name: quantity for name, quantity in after.items() if quantity > 0}
