"""What a Screen and the Resource of a record share: checks of their declaration, saving, a person's views of lists."""
