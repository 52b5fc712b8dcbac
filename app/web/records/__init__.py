"""Pages and REST of records. screen.py, record_page.py, record_form.py and bulk_actions.py are the base of all."""
