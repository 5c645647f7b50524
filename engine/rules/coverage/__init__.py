"""Local and national coverage."""
