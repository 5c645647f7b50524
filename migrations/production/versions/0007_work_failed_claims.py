"""Failed claims as a work queue: money, retries, assignment, notes, repairs, who did what."""

from loader.migrate import plain_sql

revision = "0007"
down_revision = "0006"
upgrade, downgrade = plain_sql(__file__)
