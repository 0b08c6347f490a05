"""Everything on one machine: the processes of `guerdon up`, started in order, watched, started again and stopped."""
