"""`python -m tests.oracle`: processes that are spawned need the rest in a module with a name."""

from tests.oracle.run import main

main()
