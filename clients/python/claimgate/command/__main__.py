"""`python -m claimgate.command`: the command without its script on the path."""

from claimgate.command import main

main()
