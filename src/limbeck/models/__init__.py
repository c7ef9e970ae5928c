"""Any model: asked, told from others, its weights."""
