"""Infrastructure: the HTTP server, queues, processes, monitoring, the database, Redis and stored files."""

import os

#: Part of every Redis key that we use: a Cluster stores keys with the same tag on the same server, so that operations
#: on several keys (RQ's scripts and transactions) work there, too.
TAG = "{crm}"
#: RQ reads it on import, which only modules of this package do.
os.environ["RQ_KEY_PREFIX"] = f"{TAG}rq"
