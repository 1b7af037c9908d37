"""Rows that another system pushes as things happen: read from JSON, landed as an import lands them, and told onwards."""
