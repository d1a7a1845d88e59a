"""Rich text of content systems as HTML: Markdown, and the trees that their editors keep. Pure; washed centrally."""
