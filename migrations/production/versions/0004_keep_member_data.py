"""What a payer keeps on file about members, by the loads that brought it."""

from loader.migrate import plain_sql

revision = "0004"
down_revision = "0003"
upgrade, downgrade = plain_sql(__file__)
