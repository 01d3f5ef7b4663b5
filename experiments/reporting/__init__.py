"""What a person reads of a run: the page, the summary, the tables, the pictures, and the words in them."""
