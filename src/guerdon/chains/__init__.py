"""What a chain can do: the port, the EVM client, contract artifacts and coding, signing, the local network.

Nothing here knows of programs, payouts or rewards; a network's row and its keys belong to `txmanager`.
"""
