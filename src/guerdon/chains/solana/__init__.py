"""How a Solana is spoken to. What is signed, sent and signed anew is decided in `txmanager/solana`, who is paid in `payouts`.

client.py        typed questions to a node, and handing it signed bytes
rpc.py           how they travel                                              answers.py     what they must look like
values.py        what the answers are
keys.py          addresses, private keys as wallets write them, signatures
tokens.py        mints and token accounts: facts, and why one is refused    extensions.py  those of Token-2022
instructions.py  what a transaction does                                      markers.py     that it does it once (SAFETY S18)
messages.py      transactions: kept, measured, put together, completed with a signature
transfers.py     which tokens a transaction moved, whose they were and whose they became (SAFETY S33, S34)

Addresses, signatures and blockhashes are texts in base 58, amounts whole numbers: lamports, or a token's smallest unit.
"""
