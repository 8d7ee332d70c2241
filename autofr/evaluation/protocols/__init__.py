"""Verification protocols, one file each."""
