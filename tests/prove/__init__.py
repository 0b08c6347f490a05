"""The fault campaign (`make prove`): real processes and real parts are broken on purpose, and a judge says what it cost."""
