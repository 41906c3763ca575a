"""Reads: who looks at which images, what they answer under seal, and what follows when seals open."""
