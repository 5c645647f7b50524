"""Retention of failed claims that came to an end, and of staging."""

from loader.migrate import plain_sql

revision = "0012"
down_revision = "0011"
upgrade, downgrade = plain_sql(__file__)
