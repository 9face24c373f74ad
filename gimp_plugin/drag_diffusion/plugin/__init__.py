"""The GIMP plug-in's parts. Nothing here is imported before the user calls the procedure."""

__version__ = "0.1.0"  # of the daemon that it belongs to: the first two numbers must agree
