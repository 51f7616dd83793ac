"""What crosses a socket: payloads, messages, codec, frames, handshake. Pure: no socket, no pickle, no clock."""
