"""What all tests share."""

import signal

# A shell that starts this run in the background lets it ignore SIGINT, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
