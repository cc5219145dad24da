"""Nodes that share rooms, and what goes wrong with them and with what keeps the rooms: see README.md."""
