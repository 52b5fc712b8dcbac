"""What every page and resource stands on: who asks, tables of columns, kinds of fields, words."""
