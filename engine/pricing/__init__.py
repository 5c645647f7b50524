"""Allowed amounts by the physician fee schedule, in cents."""

from engine.pricing.allowed import Allowed, PriceReason, PriceStatus
from engine.pricing.price import price

__all__ = ["Allowed", "PriceReason", "PriceStatus", "price"]
