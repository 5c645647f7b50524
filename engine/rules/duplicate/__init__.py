"""The same service billed twice."""
