"""The products."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """A product: `slug` also names its picture, the price is in whole euros, `stars` are at most five."""

    slug: str
    name: str
    detail: str
    price: int
    stars: float = 0
    reviews: int = 0


GIFT_CARD = Product("gift-card", "Gift card", "For someone who has it all", 50)
PRODUCTS = (
    Product("lamp", "Reading lamp", "Dimmable, warm white", 89, 4.8, 212),
    Product("mug", "Enamel mug", "Holds 350 ml", 14, 4.6, 96),
    Product("pack", "Field pack", "22 litres, waxed cotton", 129, 4.7, 148),
    Product("clock", "Wall clock", "Silent movement", 48, 4.4, 57),
    Product("plant", "Potted fern", "Likes the shade", 24, 4.9, 83),
    Product("notebook", "Notebook", "Dotted, 160 pages", 12, 4.5, 310),
    Product("chair", "Lounge chair", "Oak and wool", 240, 4.7, 41),
    Product("candle", "Beeswax candle", "Burns for 40 hours", 18, 4.3, 129),
)
BY_SLUG = {product.slug: product for product in (*PRODUCTS, GIFT_CARD)}
