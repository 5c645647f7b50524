"""Rules about modifiers that do not exist, do not fit their code, or contradict each other."""
