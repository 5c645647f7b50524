"""Rules about who is paid at a surgery, and for how many sides, by the fee schedule."""
