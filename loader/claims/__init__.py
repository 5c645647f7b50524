"""Claims after submission: their versions, amendments, and the batches of submitters."""
