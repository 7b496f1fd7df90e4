"""What a run costs before it is begun: the work of a pair, the time of a step, hours, memory, disk and network."""
