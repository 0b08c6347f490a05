"""Stand-ins for what can't run here, and machines that get in the way of what can; all reached over real HTTP."""
