"""The demo: real purchases of a music store, replayed as server events of a program until every token is in its wallet."""
