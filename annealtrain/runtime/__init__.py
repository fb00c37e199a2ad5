"""Threads, processes, memory, files, random streams and checks, which every room may use; may import no room."""
