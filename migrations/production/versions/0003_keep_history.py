"""What later claims are judged by: earlier claims, what billers billed; rules that had no table."""

from loader.migrate import plain_sql

revision = "0003"
down_revision = "0002"
upgrade, downgrade = plain_sql(__file__)
