"""The packages of other systems, pinned with hashes, and how they are installed: never beside those of Amends."""
