"""The Flask extensions, unbound; `create_app` binds them to an application."""

import sys
from collections.abc import Callable
from typing import Any

from flask_compress import Compress
from flask_sqlalchemy.session import Session

from app.csrf import MaskedCSRFProtect

# Socket.IO also imports what only its client needs, Alembic what colours its error pages and FAB what its upload of
# pictures needs; they do without where it is missing. Nobody here is such a client, sees such a page or uploads so:
# that saves 20 MB and a tenth of the start.
_UNUSED = {name: None for name in ("aiohttp", "requests", "websocket", "pygments", "PIL") if name not in sys.modules}
sys.modules.update(_UNUSED)  # type: ignore[arg-type]  # None = "not installed"
from flask_appbuilder.models.sqla import Model  # noqa: E402
from flask_appbuilder.models.sqla.base import SQLA  # noqa: E402
from flask_migrate import Migrate  # noqa: E402
from flask_socketio import SocketIO  # noqa: E402

for _name in _UNUSED:
    del sys.modules[_name]


class RoutedSession(Session):
    """A session that may read from a replica. What it changes always goes to the primary."""

    #: Says from which server a statement is read, None = the primary; see app/access/replica_reads.py.
    reader: Callable[[Any], Any] | None = None
    #: The primary, where it is the application's only database; found once, for each statement asks three times.
    _only: Any = None

    def get_bind(self, mapper: Any = None, clause: Any = None, bind: Any = None, **options: Any) -> Any:
        """The server for a statement."""
        choose = self.reader
        if choose is not None and bind is None and not self._flushing:
            engine = choose(clause)
            if engine is not None:
                return engine
        if bind is not None:
            return bind
        if self._only is None:
            engines = self._db.engines
            if len(engines) != 1 or None not in engines:
                return super().get_bind(mapper, clause, bind, **options)
            self._only = engines[None]
        return self._only


db = SQLA(session_options={"expire_on_commit": False, "class_": RoutedSession})
# FAB declares its tables on its own metadata; Alembic must see one.
db.metadatas[None] = Model.metadata
compress = Compress()
migrate = Migrate()
csrf = MaskedCSRFProtect()
socketio = SocketIO()
