"""What smartpipe costs, and what others cost for the same work. See README.md beside this file."""
