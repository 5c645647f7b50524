"""`python -m tests.crash`."""

import os

# Read when gRPC is loaded: what is started here is another program, and gRPC is not in it.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

from tests.crash.run import main

main()
