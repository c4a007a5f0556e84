"""What an event is: envelope, payload declarations, names, decoder and encoder."""
