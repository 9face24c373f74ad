"""How the command line, or any other Python program, talks to the daemon."""
