"""smartpipe with other libraries, a file or folder for each."""
