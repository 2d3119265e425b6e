"""A fleet: listeners and readers on two hosts, with Redis and Flagsmith on a third and a fourth, and what may fail."""
