"""Committed results, told to others in the order of commits."""

from loader.migrate import plain_sql

revision = "0010"
down_revision = "0008"
upgrade, downgrade = plain_sql(__file__)
