"""What this package costs, beside what its users would use instead: `make bench`."""
