"""The calculation: claims to columns, prices, findings and verdicts.

No network, no clock, no database.

bytes -> decode -> columns -> {model, history} -> facts -> price -> rules -> verdict -> encode ->
bytes
"""
