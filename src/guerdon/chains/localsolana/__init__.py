"""The local Solana: LiteSVM behind the JSON-RPC methods of a node, with slots, commitments, history and a journal.

server.py      HTTP: one call or a batch, sizes bounded
methods*.py    one function a method: parameters in, JSON out       encoding.py, parsed.py  what the answers look like
chain.py       one chain in one folder: opens, replays, takes transactions, tells what was
bank.py        accounts and their last versions, execution          history.py   which transaction is where
slots.py       which slot it is, and its blockhash                  journal.py   what survives SIGKILL (SAFETY S27)
"""
