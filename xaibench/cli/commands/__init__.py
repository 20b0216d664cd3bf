"""The commands: options, help texts and exit codes. What they call is imported when they run."""
