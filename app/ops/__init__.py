"""Operations: queue and workers, live events, leader election, rate counters, database setup, the server."""

import os

#: Part of every Redis key that we use: a Cluster stores keys with the same tag on the same server, so that operations
#: on several keys (RQ's scripts and transactions) work there, too.
TAG = "{crm}"
#: RQ reads it on import, which only modules of this package do.
os.environ["RQ_KEY_PREFIX"] = f"{TAG}rq"
