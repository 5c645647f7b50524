"""Indexes that only a load pays for and nothing reads go; months that are closed can have them."""

from loader.migrate import plain_sql

revision = "0006"
down_revision = "0005"
upgrade, downgrade = plain_sql(__file__)
