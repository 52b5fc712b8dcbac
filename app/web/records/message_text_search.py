"""Messages by their text over REST."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_appbuilder.api import expose, protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.extensions import db
from app.web.api.list_parameters import page_of, read_parameters
from app.web.api.operations import OperationSpec
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.text_search import MAX_LOOKED_UP, matching

VERBS = {"search": "read"}
DOCUMENTATION = {
    "search": OperationSpec(
        "Find messages by words of their text, newest first", (422,), ("text", "page", "page_size"), answer="list"
    )
}
#: Minimum characters of a searched text.
LEAST = 2


class SearchRoutes:
    """GET /api/v1/message/search?text=…"""

    record_table: Any
    page_size: Any

    @expose("/search", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("search")
    def search(self) -> Any:
        """One page of the messages that the person sees and whose text has these words."""
        viewer, table = current_viewer(), self.record_table
        text = request.args.get("text", "").strip()
        if len(text) < LEAST:
            raise RuleBroken(_("Please give at least two characters as “text”."), "text")
        page, size = page_of(read_parameters(frozenset(("text", "page", "page_size"))), self.page_size)
        rule = matching(table, text, viewer, MAX_LOOKED_UP)
        query = ListQuery([rule], table.order_by(None, "desc", viewer), size, page)
        rows = table.rows(db.session(), query, table.shown)
        count, capped = table.count_for_page(db.session(), query, rows)
        result = table.serialize_rows(db.session(), rows, table.shown, viewer)
        ids = [row["id"] for row in result]
        return json_answer(200, {"count": count, "count_capped": capped, "ids": ids, "result": result})
