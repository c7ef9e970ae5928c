"""The command: thin, imports what a sub-command needs when it runs."""
