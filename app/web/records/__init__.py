"""Pages and REST resources of records. screen.py, record_page.py, form_page.py and bulk.py are the base of all."""
