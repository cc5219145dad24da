"""Whether what a server acknowledged, or showed, is there after it was killed or its machine lost power; see README.md."""
