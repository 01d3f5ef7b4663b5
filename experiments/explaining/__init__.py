"""How a number of a result came about: trees down to counts × component values × sources, that add up again."""
