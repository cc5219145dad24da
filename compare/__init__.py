"""Runs switchboard beside what a user would pick instead, and writes what came of it into the documents."""
