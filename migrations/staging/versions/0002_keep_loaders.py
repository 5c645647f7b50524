"""Staging: loaders say that they live, so that leases can be short."""

from loader.migrate import plain_sql

revision = "0002"
down_revision = "0001"
upgrade, downgrade = plain_sql(__file__)
