"""The command line: `jupyterfut scheduler | worker | cluster | config | demo`. Nothing heavy is imported before a command needs it."""
