"""Staging to service to production; published files to a snapshot; files of claims to staging."""
