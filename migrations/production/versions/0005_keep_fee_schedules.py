"""Fee schedules of tenants, by the versions that brought and ended each row."""

from loader.migrate import plain_sql

revision = "0005"
down_revision = "0004"
upgrade, downgrade = plain_sql(__file__)
