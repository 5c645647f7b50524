"""The published tables of a snapshot as read-only arrays, one file per field of claims editing."""
