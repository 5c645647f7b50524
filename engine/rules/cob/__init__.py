"""Which of a member's payers pays first, and what the earlier ones have decided."""
