"""ABX error."""
