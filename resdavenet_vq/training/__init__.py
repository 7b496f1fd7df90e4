"""How a stage is trained: the losses, the loop, the state that survives a kill, several processes."""
