"""Who comes in, by which door, how often, and with which rights."""
