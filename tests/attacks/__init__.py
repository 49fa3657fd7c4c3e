"""Attacks on the real thing: power cuts, failing disks, kills, hostile clients."""
