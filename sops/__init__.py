"""How people work, and who is trained: controlled documents and read-and-understood."""
