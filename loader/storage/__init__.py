"""Years of claims in production: partitions, archives, summaries, retention, backups.

What an operator does as the owner of the tables. Every module names one such thing; `commands` and
its neighbours are what `claimgate storage` runs.
"""
