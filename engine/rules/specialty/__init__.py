"""Services that belong to another kind of plan."""
