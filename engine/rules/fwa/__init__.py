"""Fraud, waste and abuse."""
