"""Trained networks on images of glyphs whose use of each glyph is proved by erasing it, and component analysis."""
