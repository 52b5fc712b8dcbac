"""The queues of function calls that run later: in workers on Redis, or in threads of this process."""
