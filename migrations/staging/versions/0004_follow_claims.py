"""Claims after submission: batches are watched and cancelled, and the audit names who did it."""

from loader.migrate import plain_sql

revision = "0004"
down_revision = "0003"
upgrade, downgrade = plain_sql(__file__)
