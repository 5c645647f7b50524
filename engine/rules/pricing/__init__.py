"""Charges against fees, and high charges."""
