"""What has happened, for whoever asks: queries, counts, interfaces, and who got which event."""
