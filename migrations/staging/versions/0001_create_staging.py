"""Staging: claims that wait to be scored, what became of them, and what intake could not read."""

from loader.migrate import plain_sql

revision = "0001"
down_revision = None
upgrade, downgrade = plain_sql(__file__)
