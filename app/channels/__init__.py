"""Lines to the outside: plain values in and out, no database."""
