"""What an image of one's own promises to whoever runs it on a device with two control processors."""
