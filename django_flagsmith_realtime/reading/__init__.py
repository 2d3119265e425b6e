"""How a process reads flags, from the cache and never from the network."""
