"""Fences that a move of a shard puts round its rows."""

from loader.migrate import plain_sql

revision = "0011"
down_revision = "0010"
upgrade, downgrade = plain_sql(__file__)
