"""Does this installation compute what it should: cases whose answers are known, and what the machine is like."""
