"""Published reference files to a snapshot: one reader per layout, and the build."""
