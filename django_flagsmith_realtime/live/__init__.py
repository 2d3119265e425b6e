"""What open pages and other programs get: that flags changed, and what a page may know of them."""
