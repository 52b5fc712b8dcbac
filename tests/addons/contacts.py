"""An add-on in Flask-AppBuilder's own vocabulary: contacts in groups, staff in departments, with pages and REST.

The declarations are those of FAB's documentation and examples; only the base classes are the CRM's.
"""

from __future__ import annotations

import datetime
import enum
from typing import Any

from flask import redirect
from flask_appbuilder import Model, action
from flask_appbuilder.basemanager import BaseManager
from flask_appbuilder.fields import QuerySelectField
from flask_appbuilder.fieldwidgets import BS3TextFieldWidget, Select2Widget
from flask_appbuilder.models.decorators import renders
from flask_appbuilder.models.filters import BaseFilter
from flask_appbuilder.models.sqla.filters import FilterStartsWith
from flask_appbuilder.models.sqla.interface import SQLAInterface
from markupsafe import Markup
from sqlalchemy import CheckConstraint, Column, Date, Enum, ForeignKey, Integer, Numeric, String, Table, Text, or_
from sqlalchemy.orm import relationship
from wtforms import StringField
from wtforms.validators import Length

from app.extensions import db
from app.web import Resource, Screen


class ContactGroup(Model):
    __tablename__ = "test_contact_group"
    id = Column(Integer, primary_key=True)
    name = Column(String(50), unique=True, nullable=False)

    def __repr__(self) -> str:
        return str(self.name)


class Tone(enum.Enum):
    WARM = "warm"
    COLD = "cold"


class Contact(Model):
    __tablename__ = "test_contact"
    id = Column(Integer, primary_key=True)
    name = Column(String(150), unique=True, nullable=False)
    address = Column(String(564), default="Street ")
    birthday = Column(Date)
    personal_phone = Column(String(20))
    tone: Any = Column(Enum(Tone))
    contact_group_id = Column(Integer, ForeignKey("test_contact_group.id"), nullable=False)
    contact_group = relationship("ContactGroup")

    def __repr__(self) -> str:
        return str(self.name)

    @renders("birthday")
    def born(self) -> Any:
        return Markup("<b>{}</b>").format(self.birthday.year) if self.birthday else ""

    @property
    def initial(self) -> str:
        return str(self.name)[:1]


class Department(Model):
    __tablename__ = "test_department"
    id = Column(Integer, primary_key=True)
    name = Column(String(50), unique=True, nullable=False)

    def __repr__(self) -> str:
        return str(self.name)


class Benefit(Model):
    __tablename__ = "test_benefit"
    id = Column(Integer, primary_key=True)
    name = Column(String(50), unique=True, nullable=False)

    def __repr__(self) -> str:
        return str(self.name)


assoc_benefits_employee = Table(
    "test_benefits_employee",
    Model.metadata,
    Column("id", Integer, primary_key=True),
    Column("benefit_id", Integer, ForeignKey("test_benefit.id")),
    Column("employee_id", Integer, ForeignKey("test_employee.id")),
)


def today() -> datetime.date:
    return datetime.date.today()


class Employee(Model):
    __tablename__ = "test_employee"
    id = Column(Integer, primary_key=True)
    full_name = Column(String(150), nullable=False)
    address = Column(Text(250), nullable=False)
    employee_number = Column(Integer, CheckConstraint("employee_number > 0"), unique=True, nullable=False)
    salary = Column(Numeric(10, 2))
    department_id = Column(Integer, ForeignKey("test_department.id"), nullable=False)
    department = relationship("Department")
    benefits = relationship("Benefit", secondary=assoc_benefits_employee, backref="employee")
    begin_date = Column(Date, default=today, nullable=False)
    end_date = Column(Date)

    def __repr__(self) -> str:
        return str(self.full_name)


# --- pages


class ContactView(Screen):
    datamodel = SQLAInterface(Contact)
    label_columns = {"contact_group": "Contacts group"}
    description_columns = {"name": "As on the card"}
    list_columns = ["name", "personal_phone", "born", "contact_group"]
    base_order = ("name", "asc")
    show_fieldsets = [
        ("Summary", {"fields": ["name", "address", "contact_group"]}),
        ("Personal info", {"fields": ["birthday", "personal_phone", "tone", "initial"], "expanded": False}),
    ]
    add_fieldsets = [
        ("Summary", {"fields": ["name", "address", "contact_group"]}),
        ("Personal info", {"fields": ["birthday", "personal_phone", "tone"], "expanded": False}),
    ]
    edit_fieldsets = add_fieldsets
    search_columns = ["name", "address", "birthday", "contact_group"]
    validators_columns = {"personal_phone": [Length(max=12, message="A phone has at most twelve digits.")]}
    formatters_columns = {"personal_phone": lambda value: f"☎ {value}" if value else ""}

    @action("rename", "Add a star", "Really?", "fa-star")
    def rename(self, items: Any) -> Any:
        for item in items if isinstance(items, list) else [items]:
            item.name += " *"
            self.datamodel.edit(item)
        return redirect(f"{self.route_base}/list/")

    def pre_add(self, item: Any) -> None:
        if item.name == "Nobody":
            raise ValueError("Nobody is no contact.")


class GroupView(Screen):
    datamodel = SQLAInterface(ContactGroup)
    related_views = [ContactView]


def departments() -> Any:
    return db.session.query(Department)


class EmployeeView(Screen):
    datamodel = SQLAInterface(Employee)
    list_columns = ["full_name", "department.name", "employee_number", "benefits"]
    add_form_extra_fields = {
        "department": QuerySelectField("Department", query_func=departments, widget=Select2Widget()),
        "nickname": StringField("Nickname", description="Not stored", widget=BS3TextFieldWidget()),
    }
    edit_form_extra_fields = {
        "department": QuerySelectField("Department", query_func=departments, widget=Select2Widget())
    }
    add_columns = ["full_name", "address", "employee_number", "salary", "department", "benefits", "nickname"]


class DepartmentView(Screen):
    datamodel = SQLAInterface(Department)
    related_views = [EmployeeView]


class WarmContactView(Screen):
    datamodel = SQLAInterface(Contact)
    class_permission_name = "Contact"
    route_base = "/warm"
    base_filters = [["name", FilterStartsWith, "W"]]


# --- REST


class EitherFilter(BaseFilter):
    name = "Name or address"
    arg_name = "either"

    def apply(self, query: Any, value: Any) -> Any:
        return query.filter(or_(Contact.name.like(f"{value}%"), Contact.address.like(f"{value}%")))


class ContactApi(Resource):
    resource_name = "contact"
    datamodel = SQLAInterface(Contact)
    search_filters = {"name": [EitherFilter]}
    add_query_rel_fields = {"contact_group": [["name", FilterStartsWith, "F"]]}


class GroupApi(Resource):
    resource_name = "group"
    datamodel = SQLAInterface(ContactGroup)


class EmployeeApi(Resource):
    datamodel = SQLAInterface(Employee)
    list_columns = ["full_name", "department.name", "benefits"]


class Manager(BaseManager):
    def register_views(self) -> None:
        builder = self.appbuilder
        builder.add_view(GroupView, "List Groups", icon="fa-folder-open-o", category="Contacts")
        builder.add_view(ContactView, "List Contacts", icon="fa-envelope", category="Contacts")
        builder.add_separator("Contacts")
        builder.add_view(WarmContactView, "Warm Contacts", category="Contacts")
        builder.add_view(EmployeeView, "Employees", category="Company")
        builder.add_view(DepartmentView, "Departments", category="Company")
        for api in (ContactApi, GroupApi, EmployeeApi):
            builder.add_api(api)
