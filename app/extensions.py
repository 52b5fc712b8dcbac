"""The Flask extensions, unbound; `create_app` binds them to an application."""

import sys

from flask_appbuilder.models.sqla import Model
from flask_appbuilder.models.sqla.base import SQLA
from flask_compress import Compress

from app.csrf import MaskedCSRFProtect

# Socket.IO also imports what only its client needs, and Alembic what colours its error pages; they do without where it
# is missing. Nobody here is a client, nor sees such a page: that saves 16 MB and a tenth of the start.
_UNUSED = {name: None for name in ("aiohttp", "requests", "websocket", "pygments") if name not in sys.modules}
sys.modules.update(_UNUSED)  # type: ignore[arg-type]  # None = "not installed"
from flask_migrate import Migrate  # noqa: E402
from flask_socketio import SocketIO  # noqa: E402

for _name in _UNUSED:
    del sys.modules[_name]

db = SQLA(session_options={"expire_on_commit": False})
# FAB declares its tables on its own metadata; Alembic must see one.
db.metadatas[None] = Model.metadata
compress = Compress()
migrate = Migrate()
csrf = MaskedCSRFProtect()
socketio = SocketIO()
