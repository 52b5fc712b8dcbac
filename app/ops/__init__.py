"""Operations: queue and workers, live events, leader election, rate counters, database setup, the server."""
