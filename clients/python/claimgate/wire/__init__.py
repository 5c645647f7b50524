"""Requests as the server reads them."""
