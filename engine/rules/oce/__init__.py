"""Rules of the outpatient code editor."""
