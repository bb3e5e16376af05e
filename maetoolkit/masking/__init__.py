"""Which tokens the encoder sees and which are predicted."""
