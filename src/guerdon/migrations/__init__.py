"""Schema migrations (Alembic). Each goes forward on a database full of data and locks nothing for long."""
