"""The extensions, made empty; `create_app` binds them."""

from flask_appbuilder.models.sqla import Model
from flask_appbuilder.models.sqla.base import SQLA
from flask_compress import Compress
from flask_migrate import Migrate
from flask_socketio import SocketIO
from flask_wtf.csrf import CSRFProtect

db = SQLA(session_options={"expire_on_commit": False})
# FAB declares its tables on its own metadata; Alembic must see one.
db.metadatas[None] = Model.metadata
compress = Compress()
migrate = Migrate()
csrf = CSRFProtect()
socketio = SocketIO()
