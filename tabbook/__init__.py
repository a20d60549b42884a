"""The authors' tool: one Markdown source a chapter -> notebooks and library; no framework here."""
