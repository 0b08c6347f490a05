"""The one engine that gets chain transactions signed, sent, replaced and final; keys, treasuries, networks and contracts."""
