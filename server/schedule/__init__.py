"""Which message is scored when: a pure machine without clock, threads or asyncio.

Time is an argument of every call, so that a test can run years of traffic in seconds. The batcher
holds one `Schedule` and does what it says.
"""
