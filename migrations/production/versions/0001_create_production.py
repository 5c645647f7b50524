"""Production: scored claims by month of service, the ledger, and the claims that failed."""

from loader.migrate import plain_sql

revision = "0001"
down_revision = None
upgrade, downgrade = plain_sql(__file__)
