"""Years of claims: partitions, archives, summaries, retention and legal holds."""

from loader.migrate import plain_sql

revision = "0008"
down_revision = "0007"
upgrade, downgrade = plain_sql(__file__)
