"""Operations: queue and workers, live events, leader election, rate counters, database setup, the server."""

import os

#: In every key that we use in Redis: a Cluster keeps keys with the same tag on the same server, so that what needs
#: several of them at once (RQ's scripts and transactions) works there, too.
TAG = "{crm}"
#: RQ reads it when it is imported, which nobody does but modules of this package.
os.environ["RQ_KEY_PREFIX"] = f"{TAG}rq"
