"""An add-on whose records name leads, have private columns and views with base filters."""

from __future__ import annotations

from typing import Any

from flask import redirect
from flask_appbuilder import Model, action
from flask_appbuilder.basemanager import BaseManager
from flask_appbuilder.models.filters import BaseFilter
from flask_appbuilder.models.sqla.filters import FilterStartsWith
from flask_appbuilder.models.sqla.interface import SQLAInterface
from sqlalchemy import Column, ForeignKey, Integer, String, Table
from sqlalchemy.orm import relationship

from app.domain.base import Versioned
from app.models import Lead, User
from app.web import Resource, Screen


class Visit(Model):
    __tablename__ = "test_visit"
    id = Column(Integer, primary_key=True)
    name = Column(String(50))
    salary = Column(Integer)
    pin = Column(String(50))
    lead_id = Column(Integer, ForeignKey("leads.id"))
    lead = relationship(Lead)


class Shelf(Model):
    __tablename__ = "test_shelf"
    id = Column(Integer, primary_key=True)
    name = Column(String(50))


class Book(Model):
    __tablename__ = "test_book"
    id = Column(Integer, primary_key=True)
    name = Column(String(50))
    shelf_id = Column(Integer, ForeignKey("test_shelf.id"))
    shelf = relationship(Shelf, backref="books")


readers = Table(
    "test_paper_reader",
    Model.metadata,
    Column("paper_id", ForeignKey("test_paper.id")),
    Column("user_id", ForeignKey("ab_user.id")),
)


class Paper(Model, Versioned):
    __tablename__ = "test_paper"
    id = Column(Integer, primary_key=True)
    name = Column(String(50))
    number = Column(String(50))
    assignee = Column(String(50))
    assignees = relationship(User, secondary=readers)


class JoinFilter(BaseFilter):
    name = "On a shelf"
    arg_name = "join"

    def apply(self, query: Any, value: Any) -> Any:
        return query.join(Shelf, Shelf.id == Book.shelf_id)


class BrokenFilter(BaseFilter):
    name = "More than"
    arg_name = "more"

    def apply(self, query: Any, value: Any) -> Any:
        return query.filter(Book.id > int(value))


class VisitScreen(Screen):
    datamodel = SQLAInterface(Visit)
    show_columns = ["name", "salary", "lead"]


class VisitApi(Resource):
    resource_name = "visit"
    datamodel = SQLAInterface(Visit)
    show_columns = list_columns = ["name", "salary", "lead"]
    add_columns = edit_columns = ["name", "salary", "pin", "lead"]


class BookScreen(Screen):
    datamodel = SQLAInterface(Book)
    base_filters = [["name", FilterStartsWith, "P"]]
    list_columns = ["name"]
    search_filters = {"name": [BrokenFilter]}

    @action("star", "Star", "Sure?", "fa-star")
    def star(self, items: Any) -> Any:
        for item in items:
            item.name += "*"
        return redirect("/")

    @action("fail", "Fail", "Sure?", "fa-star")
    def fail(self, items: Any) -> Any:
        raise ValueError("The printer is off.")


class QBookScreen(Screen):
    datamodel = SQLAInterface(Book)
    route_base = "/qbooks"
    class_permission_name = "Book"
    base_filters = [["name", FilterStartsWith, "Q"]]


class ShelvedScreen(Screen):
    datamodel = SQLAInterface(Book)
    route_base = "/shelved"
    class_permission_name = "Book"
    base_filters = [["name", JoinFilter, ""]]


class ShelfScreen(Screen):
    datamodel = SQLAInterface(Shelf)
    related_views = [QBookScreen]
    list_columns = ["name", "books.name"]
    order_columns = ["name", "books.name"]


class ShelfApi(Resource):
    resource_name = "shelf"
    datamodel = SQLAInterface(Shelf)
    list_columns = show_columns = ["name", "books.name"]
    order_columns = ["name", "books.name"]


class PaperScreen(Screen):
    datamodel = SQLAInterface(Paper)
    show_columns = ["name", "number", "assignee", "assignees"]


class Manager(BaseManager):
    def register_views(self) -> None:
        for view in (VisitScreen, BookScreen, QBookScreen, ShelvedScreen, ShelfScreen, PaperScreen):
            self.appbuilder.add_view(view, view.__name__, category="Attacked")
        for api in (VisitApi, ShelfApi):
            self.appbuilder.add_api(api)
