"""Stands in for the daemon in the plug-in's tests."""
