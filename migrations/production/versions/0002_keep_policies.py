"""Policies by version with their changelog, and hits that only try a rule out."""

from loader.migrate import plain_sql

revision = "0002"
down_revision = "0001"
upgrade, downgrade = plain_sql(__file__)
