"""Redis: connections and their deadlines, and what processes share or tell each other through it."""
