"""The demo: the stand-in, the listener and the site as child processes, with one log."""
