"""Measures this machine's speed, each figure beside a limit measured in the same minute."""
