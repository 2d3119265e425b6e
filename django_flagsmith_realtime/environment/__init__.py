"""What the flags are at one moment, as values that do not change: the document, its snapshot, their differences."""
