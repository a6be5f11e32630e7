"""What goes over the socket: frames, handshake, messages, the session state machine. Sans-IO."""
