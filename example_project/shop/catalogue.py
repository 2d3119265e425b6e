"""What the shop sells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """One thing to buy; `slug` also names its picture, the price is in whole euros."""

    slug: str
    name: str
    detail: str
    price: int


GIFT_CARD = Product("gift-card", "Gift card", "For someone who has it all", 50)
PRODUCTS = (
    Product("lamp", "Reading lamp", "Dimmable, warm white", 89),
    Product("mug", "Enamel mug", "Holds 350 ml", 14),
    Product("pack", "Field pack", "22 litres, waxed cotton", 129),
    Product("clock", "Wall clock", "Silent movement", 48),
    Product("plant", "Potted fern", "Likes the shade", 24),
    Product("notebook", "Notebook", "Dotted, 160 pages", 12),
    Product("chair", "Lounge chair", "Oak and wool", 240),
    Product("candle", "Beeswax candle", "Burns for 40 hours", 18),
)
BY_SLUG = {product.slug: product for product in (*PRODUCTS, GIFT_CARD)}
