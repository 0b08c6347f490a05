"""What is missing, unreachable or out of step, and how to mend it: the checks of `guerdon doctor`."""
