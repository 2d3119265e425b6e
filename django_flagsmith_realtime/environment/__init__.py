"""The flags at one moment, as immutable values: the document, its snapshot, and what differs between two of them."""
