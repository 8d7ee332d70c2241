"""Verification: exact errors, protocols, reports, plots."""
