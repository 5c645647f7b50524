"""Allowed amounts by the physician fee schedule, in cents."""

from engine.pricing.allowed import Allowed, PriceBasis, PriceReason, PriceStatus
from engine.pricing.price import price

__all__ = ["Allowed", "PriceBasis", "PriceReason", "PriceStatus", "price"]
