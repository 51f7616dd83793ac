"""The three machines. Pure: no clock, socket, thread, pickle or log inside; events in, effects out."""
