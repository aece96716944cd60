"""The test's end of `-netdev stream`: each frame is preceded by its length, 32 bits big-endian."""

import struct
import time

# Limits are for what has gone wrong: the computer may be busy, and what is waited for ends the wait at once.
PATIENCE = 60


class Wire:
    """Frames over a connected socket."""

    def __init__(self, connection):
        self.connection = connection
        self.received = bytearray()

    def send(self, *frames):
        self.connection.settimeout(PATIENCE)
        self.connection.sendall(b"".join(struct.pack(">I", len(frame)) + frame for frame in frames))

    def _next(self):
        """A frame that is already here, or None."""
        if len(self.received) < 4:
            return None
        length, = struct.unpack_from(">I", self.received)
        if len(self.received) < 4 + length:
            return None
        frame = bytes(self.received[4:4 + length])
        del self.received[:4 + length]
        return frame

    def receive(self, seconds):
        """The next frame; None when none came in time or the machine is off."""
        until = time.monotonic() + seconds
        while (frame := self._next()) is None:
            self.connection.settimeout(max(until - time.monotonic(), 0.001))
            try:
                data = self.connection.recv(1 << 18)
            except (TimeoutError, ConnectionResetError):
                return None
            if not data:
                return None
            self.received += data
        return frame
